import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createCapacitySignal } from '../../queues/capacity-signal.ts';
import type { EventPayload } from '../../queues/jobs/event.ts';
import { SchedulerError } from '../../shared/errors.ts';
import type { Store } from '../../shared/store/store.ts';
import { eventHandlers } from '../../workers/listener/handlers.ts';
import { reconcile } from '../../workers/maintenance/reconcile.ts';
import { type EventListener, listenToEvents } from '../support/event-listener.ts';
import { eventually } from '../support/eventually.ts';
import { type ListenerBench, openListenerBench } from '../support/listener-bench.ts';
import { rabbitmqUrl } from '../support/rabbitmq.ts';
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

/** A store whose transactions fail so many times first. */
function failing(times: number): Store {
  let left = times;
  return {
    ...wired.store,
    transaction: (work) => {
      left -= 1;
      return left >= 0 ? Promise.reject(new SchedulerError('STORE_UNAVAILABLE')) : wired.store.transaction(work);
    },
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

  test('whose effect fails twice is tried again after a pause, and has it once', async () => {
    await bench.start({ store: failing(2) });
    const userId = someone();
    await bench.publish('billing.payment_failed', { userId });
    await untilCounted(userId, 1);
    expect(dead.arrived).toEqual([]);
  });

  test('that fails in its last attempt is told to the dead letters with the reason', async () => {
    const { redis, prefix, logger } = bench.deps;
    const capacity = createCapacitySignal({ redis, prefix, waits: async () => false, unpark: async () => [], logger });
    const handlers = eventHandlers({ ...bench.deps, capacity, store: failing(1) }, 3);
    const payload = { eventId: randomUUID(), topic: 'user.activated', action: { action: 'unblock-user', userId: someone() } } as const;
    const context = { id: '1', name: 'event', signal: new AbortController().signal };
    await expect(handlers.event(payload, { ...context, attempt: 3 })).rejects.toThrow('database');
    await capacity.close();
    const row = await wired.store.prisma.outboxEntry.findFirstOrThrow({ where: { topic: 'scheduler.users.failed' } });
    expect(row).toMatchObject({ channel: 'event', key: payload.eventId, payload: { topic: 'user.activated', action: payload.action } });
    expect(row.payload).toMatchObject({ reason: expect.stringContaining('database') });
    expect(await wired.store.prisma.inboxEntry.count({ where: { eventId: payload.eventId } })).toBe(0);
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
    const { store, producer, metrics } = wired;
    // As a Redis does that takes a job and loses everything a moment later.
    const lossy = await bench.start({ producer: { ...producer, event: () => Promise.resolve() } });
    const userId = someone();
    const eventId = await bench.publish('billing.payment_failed', { userId });
    // Other tests publish on the same exchange: only this one is looked at.
    const kept = () => store.prisma.arrivedEvent.count({ where: { eventId } });
    await eventually(async () => expect(await kept()).toBe(1), PATIENCE_MS);
    await lossy.close();
    await bench.start();
    const parts = { store, producer, metrics, logger: bench.deps.logger, graceSeconds: 0 };
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

  test('nobody hears with events off', async () => {
    const { startListener } = await import('../../workers/listener/start-listener.ts');
    const listener = await startListener({ ...bench.deps, broker: { url: '' } });
    expect(listener.isListening()).toBe(false);
    await listener.close();
  });
});
