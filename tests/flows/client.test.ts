import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { SchedulerClient, type SchedulerClientOptions } from '../../queues/client.ts';
import { type AllocatePayload, allocatePayload } from '../../queues/jobs/allocate.ts';
import { cancelPayload } from '../../queues/jobs/cancel.ts';
import { releasePayload } from '../../queues/jobs/release.ts';
import { createProducer } from '../../queues/producer.ts';
import { createLogger } from '../../shared/logger.ts';
import { publishOutcomes } from '../../shared/run/completion.ts';
import { checked, type JobHandler, type QueueWorkerOptions } from '../../shared/run/queue-worker.ts';
import { eventually } from '../support/eventually.ts';
import { openQueueBench, type QueueBench } from '../support/queue-bench.ts';
import { redisUrl } from '../support/redis.ts';

let bench: QueueBench;
let client: SchedulerClient;
const clients: SchedulerClient[] = [];

beforeEach(async () => {
  bench = await openQueueBench();
  client = open();
});

afterEach(async () => {
  for (const each of clients.splice(0)) await each.close();
  await bench.close();
});

function open(options: Partial<SchedulerClientOptions> = {}): SchedulerClient {
  const opened = new SchedulerClient({ redis: { url: redisUrl() }, service: 'orders', prefix: bench.prefix, ...options });
  clients.push(opened);
  return opened;
}

const grantOf = ({ requestId, userId }: AllocatePayload) => ({
  status: 'granted',
  requestId,
  allocation: { allocationId: `allocation of ${userId}` },
});

/** A worker as far as a client can tell: it answers, and says so. */
function answering(decide: (payload: AllocatePayload) => unknown, options: { tells?: boolean } & Partial<QueueWorkerOptions> = {}) {
  const { tells = true, ...others } = options;
  const asked: AllocatePayload[] = [];
  const allocate = checked(allocatePayload, async (payload) => {
    asked.push(payload);
    const outcome = await decide(payload);
    if (tells && payload.replyTo !== undefined)
      await publishOutcomes(bench.redis, bench.prefix, [{ replyTo: payload.replyTo, id: payload.requestId, outcome }]);
    return outcome;
  });
  return { asked, worker: bench.work({ allocate }, others) };
}

describe('a client asks for a device', () => {
  test('and is told which one it got', async () => {
    const { asked } = answering(grantOf);
    const result = await client.allocate('user-1', { tenantId: 'tenant', tier: 'pro', durationMinutes: 5 });
    expect(result).toEqual({ status: 'granted', requestId: expect.any(String), allocation: { allocationId: 'allocation of user-1' } });
    expect(asked).toMatchObject([
      {
        userId: 'user-1',
        tenantId: 'tenant',
        tier: 'premium',
        caller: 'service:orders',
        source: 'client',
        asked: { durationMinutes: 5, maxWaitMinutes: 30 },
      },
    ]);
  });

  test('and is told a refusal as a result', async () => {
    answering(({ requestId }) => ({ status: 'refused', requestId, code: 'QUOTA_EXCEEDED', reason: 'enough', details: { max: 1 } }));
    expect(await client.allocate('user-1')).toMatchObject({
      status: 'refused',
      code: 'QUOTA_EXCEEDED',
      reason: 'enough',
      details: { max: 1 },
    });
  });

  test('and learns the outcome from the job when the message is lost', async () => {
    answering(grantOf, { tells: false });
    expect(await client.allocate('user-1')).toMatchObject({ status: 'granted' });
  });

  test('and is told that nothing is decided yet when time is up; the request lives on', async () => {
    const pending = await client.allocate('user-1', {}, { timeoutMs: 100 });
    expect(pending).toEqual({ status: 'pending', requestId: expect.any(String) });
    const requestId = 'requestId' in pending ? pending.requestId : '';
    expect(await client.status(requestId)).toEqual({ status: 'pending', requestId });
    const waiting = client.waitFor(requestId, { timeoutMs: 10_000 });
    answering(grantOf);
    expect(await waiting).toMatchObject({ status: 'granted', requestId });
    // The outcome is said a moment before the job is finished.
    await eventually(async () => expect(await client.status(requestId)).toMatchObject({ status: 'granted', requestId }));
  });

  test('and stops waiting when its caller does', async () => {
    const leaving = new AbortController();
    const asking = client.allocate('user-1', {}, { timeoutMs: 60_000, signal: leaving.signal });
    const producer = createProducer({
      redis: bench.redis,
      prefix: bench.prefix,
      maxWaitingJobs: 10,
      logger: createLogger('test', 'silent'),
    });
    await eventually(async () => expect(await producer.waiting()).toBe(1));
    leaving.abort();
    expect(await asking).toMatchObject({ status: 'pending' });
    await producer.close();
  });

  test('twice with one id and has asked once', async () => {
    const { asked } = answering(grantOf);
    const requestId = randomUUID();
    const first = await client.allocate('user-1', { requestId });
    expect(await client.allocate('user-1', { requestId })).toEqual(first);
    expect(asked).toHaveLength(1);
  });

  test('in words the scheduler does not take, and is told which', async () => {
    const unknownTier = { tier: 'gold' as 'vip' };
    expect(await client.allocate('', { durationMinutes: 0, ...unknownTier })).toMatchObject({
      status: 'refused',
      code: 'VALIDATION_FAILED',
      details: { problems: [expect.stringMatching(/^durationMinutes: /), expect.stringMatching(/^userId: /), 'tier: is not known'] },
    });
  });

  test('when too many wait already, and is refused', async () => {
    const modest = open({ maxWaitingJobs: 1 });
    await modest.allocate('user-1', {}, { timeoutMs: 50 });
    expect(await modest.allocate('user-2')).toMatchObject({ status: 'refused', code: 'OVERLOADED', details: { waiting: 1, max: 1 } });
  });
});

describe('a client asks for many devices', () => {
  test('and is answered in the order it asked', async () => {
    answering(grantOf);
    const users = Array.from({ length: 300 }, (_, index) => ({ userId: `user-${index}` }));
    const results = await client.allocateMany([...users, { userId: '' }]);
    expect(results.slice(0, 300).map((result) => (result.status === 'granted' ? result.allocation.allocationId : result.status))).toEqual(
      users.map(({ userId }) => `allocation of ${userId}`),
    );
    expect(results[300]).toMatchObject({ status: 'refused', code: 'VALIDATION_FAILED' });
  });

  test('none, and is answered nothing', async () => {
    expect(await client.allocateMany([])).toEqual([]);
    expect(await client.allocateMany([{ userId: '' }])).toMatchObject([{ code: 'VALIDATION_FAILED' }]);
  });
});

describe('a client waits for a request', () => {
  test('that waits for a device, until it has one', async () => {
    let free = false;
    const { worker } = answering(
      (payload) => (free ? grantOf(payload) : { status: 'waiting', requestId: payload.requestId, reason: 'POOL_BUSY' }),
      {
        concurrency: 1,
      },
    );
    const requestId = randomUUID();
    expect(await client.allocate('user-1', { requestId, queueIfBusy: true })).toEqual({
      status: 'waiting',
      requestId,
      reason: 'POOL_BUSY',
    });
    // It is told before the job is finished; until then it is on its way.
    await eventually(async () => expect(await client.status(requestId)).toMatchObject({ status: 'waiting' }));
    expect(await client.waitFor(requestId, { timeoutMs: 50 })).toEqual({ status: 'waiting', requestId, reason: 'POOL_BUSY' });
    const waiting = client.waitFor(requestId, { timeoutMs: 20_000 });
    free = true;
    const producer = createProducer({
      redis: bench.redis,
      prefix: bench.prefix,
      maxWaitingJobs: 10,
      logger: createLogger('test', 'silent'),
    });
    const again = {
      requestId,
      caller: 'service:orders',
      source: 'client',
      userId: 'user-1',
      tenantId: null,
      tier: 'standard',
      traceId: undefined,
      createdAt: new Date(),
    } as const;
    await producer.allocateAgain([{ ...again, asked: { durationMinutes: 60, queueIfBusy: true, maxWaitMinutes: 30, autoExtend: false } }]);
    expect(await waiting).toMatchObject({ status: 'granted' });
    expect(worker.healthy()).toBe(true);
    await producer.close();
  });

  test('that Redis has lost: it is asked for again', async () => {
    const pending = await client.allocate('user-1', {}, { timeoutMs: 50 });
    const requestId = 'requestId' in pending ? pending.requestId : '';
    await bench.redis.unlink(...(await bench.redis.keys(`${bench.prefix}*`)));
    expect(await client.status(requestId)).toEqual({ status: 'unknown', requestId });
    const waiting = client.waitFor(requestId, { timeoutMs: 20_000 });
    answering(grantOf);
    expect(await waiting).toMatchObject({ status: 'granted', requestId });
  });

  test('that nobody knows, and is told so', async () => {
    const requestId = randomUUID();
    expect(await client.waitFor(requestId)).toEqual({ status: 'unknown', requestId });
  });
});

describe('a client', () => {
  const telling =
    (outcome: unknown): JobHandler =>
    async (data) => {
      const payload = { ...releasePayload.safeParse(data).data, ...cancelPayload.safeParse(data).data };
      const id = payload.releaseId ?? payload.cancelId ?? '';
      await publishOutcomes(bench.redis, bench.prefix, [{ replyTo: payload.replyTo ?? '', id, outcome }]);
      return outcome;
    };

  test('gives a device back', async () => {
    const outcome = { status: 'released', allocationId: randomUUID(), deviceId: randomUUID(), durationSeconds: 5, endReason: 'released' };
    bench.work({ release: telling(outcome) }, { queue: 'release' });
    expect(await client.release({ allocationId: outcome.allocationId, userId: 'user-1', fence: 3 })).toEqual(outcome);
    expect(await client.release({})).toMatchObject({ status: 'refused', code: 'VALIDATION_FAILED' });
    expect(await client.release({ allocationId: outcome.allocationId, deviceId: outcome.deviceId })).toEqual({
      status: 'refused',
      code: 'VALIDATION_FAILED',
      details: { problems: ['deviceId: is not stated together with allocationId'] },
    });
  });

  test('is told when a release takes longer than it waits', async () => {
    expect(await client.release({ deviceId: randomUUID() }, { timeoutMs: 50 })).toEqual({
      status: 'pending',
      releaseId: expect.any(String),
    });
  });

  test('withdraws a request', async () => {
    const requestId = randomUUID();
    expect(await client.cancel(requestId, { timeoutMs: 50 })).toEqual({ status: 'pending', requestId });
    bench.work({ cancel: telling({ status: 'cancelled', requestId }) }, { queue: 'release' });
    expect(await client.cancel(requestId)).toEqual({ status: 'cancelled', requestId });
  });

  test('takes nothing for an outcome that is none', async () => {
    answering(({ requestId }) => ({ status: 'surprise', requestId }));
    expect(await client.allocate('user-1', {}, { timeoutMs: 300 })).toMatchObject({ status: 'pending' });
  });
});
