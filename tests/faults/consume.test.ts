import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type Channel, connect } from 'amqplib';
import { Queue, UnrecoverableError, Worker } from 'bullmq';
import { createCapacitySignal } from '../../queues/capacity-signal.ts';
import type { EventPayload } from '../../queues/jobs/event.ts';
import { QUEUES } from '../../queues/names.ts';
import { createProducer } from '../../queues/producer.ts';
import { SchedulerError } from '../../shared/errors.ts';
import { noteArrived } from '../../shared/store/arrived-events.ts';
import type { Store } from '../../shared/store/store.ts';
import { eventHandlers } from '../../workers/listener/handlers.ts';
import { reconcile } from '../../workers/maintenance/reconcile.ts';
import { reviveEvents } from '../../workers/maintenance/revive-events.ts';
import { type EventListener, listenToEvents } from '../support/event-listener.ts';
import { eventually } from '../support/eventually.ts';
import { type ListenerBench, openListenerBench } from '../support/listener-bench.ts';
import { metricValue } from '../support/neighbours.ts';
import { rabbitmqUrl } from '../support/rabbitmq.ts';
import { redisUrl } from '../support/redis.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { type Wired, wire } from '../support/wire.ts';

let wired: Wired;
let bench: ListenerBench;
let dead: EventListener;
let proxy: TcpProxy;

beforeEach(async () => {
  wired = await wire();
  bench = await openListenerBench(wired);
  dead = await listenToEvents(`${bench.queuePrefix}.#`, {}, 'cloudphone.dlx');
  proxy = await startTcpProxy(new URL(rabbitmqUrl()));
});

afterEach(async () => {
  await dead.close();
  await bench.close();
  await proxy.close();
  await wired.close();
});

const PATIENCE_MS = 20_000;
const someone = () => `user-${randomUUID()}`;

/** Waits until so many failed payments of a user are counted: each event counts, and counts once. */
async function untilCounted(userId: string, failures: number): Promise<void> {
  await eventually(
    async () => expect(await wired.store.prisma.user.findUnique({ where: { id: userId } })).toMatchObject({ paymentFailures: failures }),
    PATIENCE_MS,
  );
}

/** Waits until an event that cannot be read is acknowledged. */
async function untilBuried(): Promise<void> {
  const buried = { queue: `${bench.queuePrefix}.billing`, outcome: 'malformed' };
  await eventually(async () => expect(await metricValue(wired.metrics, 'scheduler_events_consumed_total', buried)).toBe(1), PATIENCE_MS);
}

async function withChannel(work: (channel: Channel) => Promise<void>): Promise<void> {
  const connection = await connect(rabbitmqUrl());
  try {
    await work(await connection.createChannel());
  } finally {
    await connection.close();
  }
}

/** A store whose transactions fail so many times first. */
function failing(times: number, error: Error = new SchedulerError('STORE_UNAVAILABLE')): Store {
  let left = times;
  return {
    ...wired.store,
    transaction: (work) => {
      left -= 1;
      return left >= 0 ? Promise.reject(error) : wired.store.transaction(work);
    },
  };
}

/** The handler of events on a store, giving up after three attempts, as it is called for an attempt. */
function attemptOn(store: Store, signal = new AbortController().signal) {
  const { redis, prefix, logger } = bench.deps;
  const capacity = createCapacitySignal({ redis, prefix, waits: async () => false, unpark: async () => [], logger });
  const handlers = eventHandlers({ ...bench.deps, capacity, store }, 3, 1);
  const context = { id: '1', name: 'event', signal };
  return async (payload: EventPayload, attempt: number) => {
    try {
      return await handlers.event(payload, { ...context, attempt });
    } finally {
      await capacity.close();
    }
  };
}

describe('an event', () => {
  test('that cannot be read goes to the dead letters with the reason, and those behind it go on', async () => {
    await bench.start();
    const userId = someone();
    const malformed = await bench.publish('billing.payment_failed', { amount: 5 });
    const noJson = await bench.publish('user.deleted', 'oh no');
    await bench.publish('billing.payment_failed', { userId });
    await untilCounted(userId, 1);
    const [first, second] = await eventually(() => [dead.find(malformed), dead.find(noJson)], PATIENCE_MS);
    expect(first?.properties.headers?.['x-reason']).toContain('userId');
    expect(first?.fields.routingKey).toBe(`${bench.queuePrefix}.billing.failed`);
    expect(first?.properties.headers?.['x-original-routing-key']).toBe('billing.payment_failed');
    expect(second?.properties.headers?.['x-reason']).toBe('the body is no JSON object');
    expect(second?.content.toString()).toBe('oh no');
  });

  test('that cannot be read is in the dead letters though their queue was bound to nothing for a while', async () => {
    await bench.start();
    await dead.close();
    dead = await listenToEvents('nothing.of.it', {}, 'cloudphone.dlx');
    const key = `${bench.queuePrefix}.billing.failed`;
    await withChannel(async (channel) => {
      await channel.unbindQueue('scheduler.dead', 'cloudphone.dlx', key);
      const malformed = await bench.publish('billing.payment_failed', { amount: 5 });
      await untilBuried();
      const found: unknown[] = [];
      for (let letter = await channel.get('scheduler.dead'); letter !== false; letter = await channel.get('scheduler.dead'))
        if (letter.fields.routingKey === key) found.push(letter.properties.messageId);
      expect(found).toEqual([malformed]);
    });
  });

  test('that cannot be read is kept while the dead letters take none, those behind it go on, and is there later', async () => {
    await bench.start();
    const userId = someone();
    await withChannel(async (channel) => {
      const { queue } = await channel.assertQueue('', {
        exclusive: true,
        arguments: { 'x-max-length': 0, 'x-overflow': 'reject-publish' },
      });
      await channel.bindQueue(queue, 'cloudphone.dlx', `${bench.queuePrefix}.#`);
      const malformed = await bench.publish('billing.payment_failed', { amount: 5 });
      // Refused, and sent again.
      await eventually(() => expect(dead.arrived.length).toBeGreaterThan(2), PATIENCE_MS);
      await bench.publish('billing.payment_failed', { userId });
      await untilCounted(userId, 1);
      await channel.deleteQueue(queue);
      await untilBuried();
      expect(new Set(dead.arrived.map(({ properties }) => properties.messageId))).toEqual(new Set([malformed]));
    });
  });

  test('that no database can keep goes to the dead letters, and those behind it go on', async () => {
    await bench.start();
    const userId = someone();
    const device = { deviceId: randomUUID(), name: 'a\u0000b', cpuCores: 1, memoryMB: 1, storageMB: 1 };
    const sent = [
      await bench.publish('device.created', device),
      await bench.publish('device.allocate.requested', { sagaId: 's1', orderId: '\ud800', userId }),
      await bench.publish('user.suspended', { userId: `${userId}\ud800` }),
    ];
    await bench.publish('billing.payment_failed', { userId });
    await untilCounted(userId, 1);
    const letters = await eventually(() => sent.map((id) => dead.find(id)), PATIENCE_MS);
    for (const { properties } of letters) expect(properties.headers?.['x-reason']).toContain('halves of characters');
  });

  test('that the database refuses all the same goes to the dead letters with its reason', async () => {
    const $executeRaw = () => wired.store.prisma.$executeRaw`SELECT ${'{"a":"\\u0000"}'}::jsonb`;
    const prisma = Object.create(wired.store.prisma, { $executeRaw: { value: $executeRaw } });
    await bench.start({ store: { ...wired.store, prisma } });
    const refused = await bench.publish('user.activated', { userId: someone() });
    const letter = await eventually(() => dead.find(refused), PATIENCE_MS);
    expect(letter.properties.headers?.['x-reason']).toMatch(/unicode/i);
  });

  test('whose effect fails twice is tried again after a pause, and has it once', async () => {
    await bench.start({ store: failing(2) });
    const userId = someone();
    await bench.publish('billing.payment_failed', { userId });
    await untilCounted(userId, 1);
    expect(dead.arrived).toEqual([]);
  });

  test('that fails in its last attempt is told to the dead letters with the reason', async () => {
    const payload = { eventId: randomUUID(), topic: 'user.activated', action: { action: 'unblock-user', userId: someone() } } as const;
    const attempt = () => attemptOn(failing(1, new Error('no such thing')))(payload, 3);
    await expect(attempt()).rejects.toThrow('given up: no such thing');
    const row = await wired.store.prisma.outboxEntry.findFirstOrThrow({ where: { topic: 'scheduler.users.failed' } });
    expect(row).toMatchObject({ channel: 'event', key: payload.eventId, payload: { topic: 'user.activated', action: payload.action } });
    expect(row.payload).toMatchObject({ reason: 'no such thing' });
    expect(await wired.store.prisma.inboxEntry.count({ where: { eventId: payload.eventId } })).toBe(0);
    // As when its worker died before the job could fail.
    await expect(attempt()).rejects.toThrow('given up: no such thing');
    const letters = await wired.store.prisma.outboxEntry.findMany({ where: { key: payload.eventId } });
    expect(letters.map(({ eventId }) => eventId)).toEqual([row.eventId, row.eventId]);
  });

  test('whose last attempt is called off is no dead letter of its handler', async () => {
    const payload = { eventId: randomUUID(), topic: 'user.activated', action: { action: 'unblock-user', userId: someone() } } as const;
    await expect(attemptOn(failing(1, new Error('called off')), AbortSignal.abort())(payload, 3)).rejects.toThrow(/^called off$/);
    expect(await wired.store.prisma.outboxEntry.count()).toBe(0);
  });

  test('whose last attempt falls into an outage is no dead letter', async () => {
    const payload = { eventId: randomUUID(), topic: 'user.activated', action: { action: 'unblock-user', userId: someone() } } as const;
    await expect(attemptOn(failing(1))(payload, 3)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(await wired.store.prisma.outboxEntry.count()).toBe(0);
  });

  test('that an outage outlasted, or that killed its workers, is found by the reconciler: tried again, or given up', async () => {
    const [outlasted, killer] = [someone(), someone()];
    const queue = new Queue(QUEUES.event, { connection: { url: redisUrl() }, prefix: wired.prefix });
    const entry = (userId: string) =>
      ({ eventId: randomUUID(), topic: 'user.activated', action: { action: 'unblock-user', userId } }) as const;
    const events = [entry(outlasted), entry(killer)];
    for (const event of events) await wired.producer.event(event);
    const worker = new Worker(
      QUEUES.event,
      async ({ data }) => {
        const reason = data.action.userId === killer ? 'job stalled more than allowable limit' : 'the database cannot be reached';
        throw new UnrecoverableError(reason);
      },
      { connection: { url: redisUrl() }, prefix: wired.prefix },
    );
    await eventually(async () => expect(await queue.getFailedCount()).toBe(2), PATIENCE_MS);
    await worker.close();
    const parts = { store: wired.store, producer: wired.producer, logger: bench.deps.logger };
    expect(await reviveEvents(parts)).toBe(2);
    expect([await queue.getFailedCount(), await queue.getWaitingCount()]).toEqual([0, 1]);
    expect(await wired.store.prisma.outboxEntry.findMany()).toMatchObject([
      { key: events[1]?.eventId, topic: 'scheduler.users.failed', payload: { reason: 'job stalled more than allowable limit' } },
    ]);
    await bench.start();
    await eventually(
      async () => expect(await wired.store.prisma.inboxEntry.findMany()).toMatchObject([{ eventId: events[0]?.eventId }]),
      PATIENCE_MS,
    );
    expect(await reviveEvents(parts)).toBe(0);
    await queue.close();
  });

  test.each([
    ['killed its workers', 'job stalled more than allowable limit'],
    ['outran its deadline to the last', 'the job took longer than 30000 ms'],
  ])('that %s is given up by the reconciler for good, though it had arrived', async (_what, reason) => {
    const { store, redis, prefix, capacity, producer, metrics } = wired;
    const event = { eventId: randomUUID(), topic: 'user.activated', action: { action: 'unblock-user', userId: someone() } } as const;
    await noteArrived(store, event);
    await producer.event(event);
    const queue = new Queue(QUEUES.event, { connection: { url: redisUrl() }, prefix });
    const worker = new Worker(
      QUEUES.event,
      async () => {
        throw new UnrecoverableError(reason);
      },
      { connection: { url: redisUrl() }, prefix },
    );
    await eventually(async () => expect(await queue.getFailedCount()).toBe(1), PATIENCE_MS);
    await worker.close();
    const parts = { store, redis, prefix, capacity, producer, metrics, logger: bench.deps.logger, graceSeconds: 0 };
    for (const _round of [1, 2]) await reconcile(parts, new AbortController().signal);
    expect(await store.prisma.arrivedEvent.count()).toBe(0);
    expect(await queue.getJobCountByTypes('wait', 'active', 'delayed', 'failed')).toBe(0);
    const letters = await store.prisma.outboxEntry.findMany({ where: { key: event.eventId } });
    expect(letters).toMatchObject([{ topic: 'scheduler.users.failed', payload: { reason } }]);
    await queue.close();
  });

  test('counts once, delivered again because the connection was lost between delivery and acknowledgement', async () => {
    const url = new URL(rabbitmqUrl());
    url.port = String(proxy.port);
    const [reached, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let taken = 0;
    const event = async (payload: EventPayload) => {
      taken += 1;
      await wired.producer.event(payload);
      reached.resolve();
      if (taken === 1) await mayGoOn.promise;
    };
    await bench.start({ producer: { ...wired.producer, event }, broker: { ...bench.deps.broker, url: url.toString() } });
    const userId = someone();
    await bench.publish('billing.payment_failed', { userId });
    await reached.promise;
    proxy.cut();
    proxy.restore();
    await eventually(() => expect(taken).toBe(2), PATIENCE_MS);
    mayGoOn.resolve();
    await bench.publish('billing.payment_failed', { userId });
    await untilCounted(userId, 2);
  });

  test('is kept by RabbitMQ while it cannot be enqueued, and comes through later', async () => {
    let left = 3;
    const event = (payload: EventPayload) => {
      left -= 1;
      return left >= 0 ? Promise.reject(new SchedulerError('QUEUE_UNAVAILABLE')) : wired.producer.event(payload);
    };
    await bench.start({ producer: { ...wired.producer, event } });
    const userId = someone();
    await bench.publish('billing.payment_failed', { userId });
    await untilCounted(userId, 1);
    expect(left).toBe(-1);
  });

  test('whose job was lost together with Redis is handed out again, and has its effect once', async () => {
    const { store, redis, prefix, capacity, producer, metrics } = wired;
    // As a Redis does that takes a job and loses everything a moment later.
    const lossy = await bench.start({ producer: { ...producer, event: () => Promise.resolve() } });
    const userId = someone();
    const eventId = await bench.publish('billing.payment_failed', { userId });
    // Other tests publish on the same exchange: only this one is looked at.
    const kept = () => store.prisma.arrivedEvent.count({ where: { eventId } });
    await eventually(async () => expect(await kept()).toBe(1), PATIENCE_MS);
    await lossy.close();
    await bench.start();
    const parts = { store, redis, prefix, capacity, producer, metrics, logger: bench.deps.logger, graceSeconds: 0 };
    const { eventsHandedOut } = await reconcile(parts, new AbortController().signal);
    expect(eventsHandedOut).toBeGreaterThanOrEqual(1);
    await untilCounted(userId, 1);
    expect(await kept()).toBe(0);
    await reconcile(parts, new AbortController().signal);
    await bench.publish('billing.payment_failed', { userId }, eventId);
    await bench.publish('billing.payment_failed', { userId });
    await untilCounted(userId, 2);
  });

  test('in hand when the listener closes is handed back, and taken by the next one', async () => {
    const reached = Promise.withResolvers<void>();
    const event = () => {
      reached.resolve();
      return Promise.reject(new SchedulerError('QUEUE_UNAVAILABLE'));
    };
    const first = await bench.start({
      producer: { ...wired.producer, event },
      broker: { ...bench.deps.broker, again: { baseMs: 60_000, maxMs: 60_000 } },
    });
    const userId = someone();
    await bench.publish('billing.payment_failed', { userId });
    await reached.promise;
    await first.close();
    expect(first.isListening()).toBe(false);
    await bench.start();
    await untilCounted(userId, 1);
  });

  test('is left in RabbitMQ while as many as may wait do so, also those that wait for another attempt', async () => {
    const { redis, prefix } = wired;
    const producer = createProducer({ redis, prefix, maxWaitingJobs: 1, maxWaitingEvents: 3, logger: bench.deps.logger });
    const queue = new Queue(QUEUES.event, { connection: { url: redisUrl() }, prefix });
    // Every effect fails once, and waits for its second attempt.
    const store: Store = { ...wired.store, transaction: () => Promise.reject(new Error('not yet')) };
    const first = await bench.start({ producer, store });
    const users = Array.from({ length: 3 }, someone);
    for (const userId of users) await bench.publish('billing.payment_failed', { userId });
    await eventually(async () => expect((await queue.getDelayed()).length).toBe(3), PATIENCE_MS);
    await expect(
      producer.event({ eventId: randomUUID(), topic: 'user.activated', action: { action: 'unblock-user', userId: someone() } }),
    ).rejects.toMatchObject({ code: 'OVERLOADED' });
    const late = someone();
    await bench.publish('billing.payment_failed', { userId: late });
    await first.close();
    await bench.start({ producer });
    for (const userId of [...users, late]) await untilCounted(userId, 1);
    await queue.close();
    await producer.close();
  });

  test('among many is taken by one listener or the next, once, when the first is closed in the middle', async () => {
    const taken: string[] = [];
    const half = Promise.withResolvers<void>();
    const event = async (payload: EventPayload) => {
      await wired.producer.event(payload);
      taken.push(payload.eventId);
      if (taken.length === 100) half.resolve();
    };
    const changes = { producer: { ...wired.producer, event }, paymentFailureThreshold: 10_000 };
    const first = await bench.start(changes);
    await first.close();
    const users = Array.from({ length: 60 }, someone);
    const sent = await Promise.all(
      Array.from({ length: 600 }, (_, index) => bench.publish('billing.payment_failed', { userId: users[index % users.length] })),
    );
    const second = await bench.start(changes);
    await half.promise;
    await second.close();
    expect(taken.length).toBeLessThan(sent.length);
    await bench.start(changes);
    await eventually(() => expect(taken).toHaveLength(sent.length), PATIENCE_MS);
    expect(taken.toSorted()).toEqual(sent.toSorted());
    for (const userId of users) await untilCounted(userId, 10);
  });

  test('nobody hears with events off', async () => {
    const { startListener } = await import('../../workers/listener/start-listener.ts');
    const listener = await startListener({ ...bench.deps, broker: { url: '' } });
    expect(listener.isListening()).toBe(false);
    await listener.close();
  });
});
