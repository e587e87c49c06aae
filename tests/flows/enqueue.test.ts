import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { advanceFairOrder } from '../../queues/fair-order.ts';
import { HEAD } from '../../queues/fair-order-model.ts';
import { type AllocatePayload, allocateJob, allocatePayload } from '../../queues/jobs/allocate.ts';
import { cancelJob, cancelPayload } from '../../queues/jobs/cancel.ts';
import { deliverJob, deliverPayload } from '../../queues/jobs/deliver.ts';
import { extendJob } from '../../queues/jobs/extend.ts';
import { maintenanceJob, maintenancePayload } from '../../queues/jobs/maintenance.ts';
import { releaseJob, releasePayload } from '../../queues/jobs/release.ts';
import { QUEUES, type QueueName } from '../../queues/names.ts';
import { createProducer, type Producer } from '../../queues/producer.ts';
import { createLogger } from '../../shared/logger.ts';
import { checked, KEPT } from '../../shared/run/queue-worker.ts';
import { eventually } from '../support/eventually.ts';
import { openQueueBench, type QueueBench } from '../support/queue-bench.ts';
import { newRequest } from '../support/requests.ts';

let bench: QueueBench;
let producer: Producer;
const queues: Queue[] = [];

beforeEach(async () => {
  bench = await openQueueBench();
  producer = createProducer({ redis: bench.redis, prefix: bench.prefix, maxWaitingJobs: 6_000, logger: createLogger('test', 'silent') });
});

afterEach(async () => {
  for (const queue of queues.splice(0)) await queue.close();
  await producer.close();
  await bench.close();
});

function look(name: QueueName): Queue {
  const queue = new Queue(name, { connection: bench.redis, prefix: bench.prefix });
  queues.push(queue);
  return queue;
}

/** Takes requests one after the other until `enough`, and says whose they were. */
async function serve(label: (payload: AllocatePayload) => string, enough: (order: readonly string[]) => boolean): Promise<string[]> {
  const order: string[] = [];
  const worker = bench.work(
    {
      allocate: checked(allocatePayload, async (payload) => {
        order.push(label(payload));
        await advanceFairOrder(bench.redis, bench.prefix, payload.fairStart, 1);
      }),
    },
    { concurrency: 1 },
  );
  await eventually(() => expect(enough(order)).toBe(true), 25_000);
  await worker.close();
  return order;
}

describe('requests are served in a fair order', () => {
  test('one who asks for ten is served among a flood of 5 000', async () => {
    await producer.allocate(Array.from({ length: 5_000 }, () => newRequest({ tenantId: 'flood' })));
    await producer.allocate(Array.from({ length: 10 }, () => newRequest({ tenantId: 'modest' })));
    const order = await serve(
      ({ tenantId }) => tenantId ?? '',
      (served) => served.filter((tenant) => tenant === 'modest').length === 10,
    );
    expect(order.lastIndexOf('modest')).toBeLessThan(20);
  });

  test('users without a tenant are fair to each other', async () => {
    await producer.allocate(Array.from({ length: 100 }, () => newRequest({ userId: 'flood' })));
    await producer.allocate([newRequest({ userId: 'modest' })]);
    const order = await serve(
      ({ userId }) => userId,
      (served) => served.includes('modest'),
    );
    expect(order.indexOf('modest')).toBeLessThan(2);
  });

  test('a higher tier is served first, in the order it came', async () => {
    const tiers = ['free', 'vip', 'enterprise', 'standard', 'premium', 'enterprise'] as const;
    await producer.allocate(tiers.map((tier, index) => newRequest({ tier, tenantId: 'one', traceId: String(index) })));
    const order = await serve(
      ({ tier, traceId }) => `${tier} ${traceId}`,
      (served) => served.length === tiers.length,
    );
    expect(order).toEqual(['enterprise 2', 'enterprise 5', 'premium 4', 'vip 1', 'free 0', 'standard 3']);
  });

  test('a low tier is served within the bound of its head start under a flood of a high one', async () => {
    await producer.allocate([newRequest({ tier: 'free', tenantId: 'low' })]);
    await producer.allocate(Array.from({ length: 1_000 }, () => newRequest({ tier: 'vip', tenantId: 'high' })));
    const order = await serve(
      ({ tenantId }) => tenantId ?? '',
      (served) => served.includes('low'),
    );
    expect(order.indexOf('low')).toBeLessThanOrEqual(HEAD + 1);
    expect(order.indexOf('low')).toBeGreaterThan(HEAD / 2);
  });
});

describe('the producer', () => {
  test('hands every field to the worker, checked', async () => {
    const request = newRequest({ replyTo: 'instance', traceId: 'trace' });
    await producer.allocate([request]);
    const seen: unknown[] = [];
    bench.work({ allocate: checked(allocatePayload, (payload) => Promise.resolve(seen.push(payload))) });
    await eventually(() => expect(seen).toEqual([{ ...request, fairStart: expect.any(Number) }]));
  });

  test('asks twice for one request without making two of it', async () => {
    const request = newRequest();
    await producer.allocate([request]);
    await producer.allocate([request]);
    expect(await producer.waiting()).toBe(1);
    expect(await producer.hasJob(QUEUES.allocate, request.requestId)).toBe(true);
    expect(await producer.hasJob(QUEUES.allocate, randomUUID())).toBe(false);
  });

  test('refuses all of a batch when too many would wait', async () => {
    const small = createProducer({ redis: bench.redis, prefix: bench.prefix, maxWaitingJobs: 3, logger: createLogger('test', 'silent') });
    await small.allocate([newRequest(), newRequest()]);
    await expect(small.allocate([newRequest(), newRequest()])).rejects.toMatchObject({
      code: 'OVERLOADED',
      details: { waiting: 2, max: 3 },
    });
    await small.allocate([newRequest()]);
    expect(await small.waiting()).toBe(3);
    await small.close();
  });

  test('adds nothing for nothing', async () => {
    await producer.allocate([]);
    await producer.allocateAgain([]);
    await producer.deliver([]);
    expect(await producer.underWay([])).toEqual(new Set());
    expect(await producer.waiting()).toBe(0);
  });

  test('hands out accepted requests again when their job is finished or lost, and leaves live ones', async () => {
    const [done, lost, live] = [newRequest(), newRequest(), newRequest()];
    await producer.allocate([done]);
    const worker = bench.work({ allocate: () => Promise.resolve({ status: 'waiting' }) });
    await eventually(async () => expect(await producer.underWay([done.requestId])).toEqual(new Set()));
    await worker.close();
    await producer.allocate([live]);
    expect(await producer.underWay([done.requestId, lost.requestId, live.requestId])).toEqual(new Set([live.requestId]));
    const full = createProducer({ redis: bench.redis, prefix: bench.prefix, maxWaitingJobs: 0, logger: createLogger('test', 'silent') });
    const accepted = [done, lost, live].map(({ acceptedAt, replyTo: _nobody, ...request }) => ({
      ...request,
      traceId: undefined,
      createdAt: new Date(acceptedAt),
    }));
    await full.allocateAgain(accepted);
    expect(await producer.waiting()).toBe(3);
    expect((await look(QUEUES.allocate).getJob(done.requestId))?.data).toMatchObject({ requestId: done.requestId, caller: done.caller });
    await full.close();
  });

  test('enqueues releases, cancellations, deliveries and scheduled jobs under their ids', async () => {
    const release = {
      releaseId: randomUUID(),
      caller: 'c',
      userId: null,
      tenantId: null,
      allocationId: randomUUID(),
      endReason: 'released',
    } as const;
    const cancel = { cancelId: randomUUID(), requestId: randomUUID(), caller: 'c' };
    await producer.release(release);
    await producer.releaseMany([release, { ...release, releaseId: randomUUID() }]);
    await producer.cancel(cancel);
    await producer.deliver([
      { kind: 'usage', ids: ['17', '18'] },
      { kind: 'billing', ids: [release.allocationId] },
      { kind: 'usage', ids: ['17'] },
    ]);
    await producer.runNow('expire');
    expect((await look(QUEUES.release).getJobs(['wait'])).map(({ name }) => name).toSorted()).toEqual(['cancel', 'release', 'release']);
    const namesIn = async (queue: QueueName) => (await look(queue).getJobs(['wait'])).map(({ name, id }) => `${name} ${id}`);
    expect(await namesIn(QUEUES.delivery)).toEqual(['deliver-usage usage-17']);
    expect(await namesIn(QUEUES.billing)).toEqual([`deliver-billing billing-${release.allocationId}`]);
    expect((await look(QUEUES.maintenance).getJobs(['wait'])).map(({ name, data }) => [name, data])).toEqual([
      ['expire', { by: 'operator' }],
    ]);
  });
});

describe('every job', () => {
  test('is kept by age, count and limit once it is finished', () => {
    const stated = [releaseJob, cancelJob, extendJob, deliverJob, maintenanceJob].flatMap(({ options }) => [
      options.removeOnComplete,
      options.removeOnFail,
    ]);
    const bounded = { age: expect.any(Number), count: expect.any(Number), limit: expect.any(Number) };
    for (const kept of [...stated, KEPT.completed, KEPT.failed]) expect(kept).toEqual(bounded);
  });

  test('of a queue that states nothing is kept as the worker says', async () => {
    await producer.allocate([newRequest()]);
    bench.work({ allocate: () => Promise.resolve() }, { kept: { completed: { age: 1, count: 0, limit: 1 }, failed: KEPT.failed } });
    await eventually(async () => expect(await bench.redis.keys(`${bench.prefix}:allocate:*-*-*`)).toEqual([]));
  });

  test('has a payload that refuses what is not one', () => {
    for (const schema of [allocatePayload, releasePayload, cancelPayload, deliverPayload]) expect(schema.safeParse({}).success).toBe(false);
    expect(maintenancePayload.parse({})).toEqual({ by: 'schedule' });
    expect(
      releasePayload.safeParse({ releaseId: randomUUID(), caller: 'c', userId: 'u', tenantId: null, endReason: 'released' }).success,
    ).toBe(false);
  });

  test('has an id that BullMQ takes: no colon, not only digits', () => {
    const ids = [
      allocateJob.idOf(newRequest()),
      releaseJob.idOf({ releaseId: randomUUID() }),
      cancelJob.idOf({ cancelId: randomUUID() }),
      deliverJob.idOf({ kind: 'usage', ids: ['12'] }),
    ];
    for (const id of ids) expect(id).toMatch(/^(?!\d+$)[^:]+$/);
  });

  test('costs a waiting request less than 1.2 KB of Redis', async () => {
    await producer.allocate(
      Array.from({ length: 200 }, (_, index) => newRequest({ userId: `user-${index}`, replyTo: randomUUID(), traceId: randomUUID() })),
    );
    const [id] = await bench.redis.zrange(`${bench.prefix}:allocate:prioritized`, '0', '0');
    expect(Number(await bench.redis.memory('USAGE', `${bench.prefix}:allocate:${id}`))).toBeLessThan(1_150);
  });
});
