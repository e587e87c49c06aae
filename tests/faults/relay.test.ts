import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createProducer } from '../../queues/producer.ts';
import { createPublisher } from '../../shared/broker/publisher.ts';
import { createLogger } from '../../shared/logger.ts';
import { closeRedis } from '../../shared/run/redis.ts';
import { takeLease } from '../../shared/store/lease.ts';
import { deliveryQueueOf } from '../../workers/relay/delivery-queue.ts';
import { publishEvents } from '../../workers/relay/publish-events.ts';
import { eventually } from '../support/eventually.ts';
import { openRedis } from '../support/open-redis.ts';
import { outboxStates, steps, writeOutbox, writeOwed } from '../support/outbox-rows.ts';
import { rabbitmqUrl } from '../support/rabbitmq.ts';
import { redisUrl } from '../support/redis.ts';
import { type ArrivedBody, openRelayBench, type RelayBench } from '../support/relay-bench.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

let bench: RelayBench;

beforeEach(async () => {
  bench = await openRelayBench();
});

afterEach(async () => {
  await bench.close();
});

const allDelivered = (count: number) =>
  eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: count }), 15_000);

/** Bodies without repeats: the first arrival of each event counts. */
function firstArrivals(bodies: readonly ArrivedBody[]): ArrivedBody[] {
  return [...new Map(bodies.toReversed().map((body) => [body.eventId, body])).values()].toReversed();
}

async function openPublisher() {
  const publisher = await createPublisher({
    url: rabbitmqUrl(),
    name: 'test',
    logger: createLogger('test', 'silent'),
    metrics: bench.metrics,
    backoff: { baseMs: 20, maxMs: 100 },
  });
  await eventually(() => expect(publisher.state()).toBe('ready'));
  return publisher;
}

describe('the relay through faults', () => {
  test('RabbitMQ away in the middle of a run: nothing is lost, order is kept, nothing is held against the rows', async () => {
    const listener = await bench.listen('#');
    const url = new URL(rabbitmqUrl());
    const proxy = await startTcpProxy(url);
    url.hostname = '127.0.0.1';
    url.port = String(proxy.port);
    const relay = await bench.startRelay({ broker: { url: url.toString(), backoff: { baseMs: 20, maxMs: 100 } } });
    await eventually(() => expect([relay.leads(), relay.brokerState()]).toEqual([true, 'ready']));

    const rows = steps(50, 6);
    await writeOutbox(bench.store, rows.slice(0, 150));
    await eventually(() => expect(bench.bodiesFor(listener, rows).length).toBeGreaterThan(0));
    proxy.cut();
    await writeOutbox(bench.store, rows.slice(150));
    await eventually(() => expect(relay.brokerState()).toBe('connecting'));
    expect((await outboxStates(bench.store, 'event'))['pending']).toBeGreaterThanOrEqual(150);
    proxy.restore();
    await allDelivered(300);

    const arrived = firstArrivals(
      await eventually(() => {
        const bodies = bench.bodiesFor(listener, rows);
        expect(firstArrivals(bodies)).toHaveLength(300);
        return bodies;
      }),
    );
    expect(bench.stepsByKey(arrived)).toEqual(Array.from({ length: 50 }, () => [0, 1, 2, 3, 4, 5]));
    expect(await bench.store.prisma.outboxEntry.count({ where: { attempts: { gt: 0 } } })).toBe(0);
    await proxy.close();
  });

  test('an event whose confirm is kept back is put off alone, and the others leave', async () => {
    const publisher = await openPublisher();
    const [stuck, ...others] = steps(3, 1);
    await writeOutbox(bench.store, [...(stuck === undefined ? [] : [stuck]), ...others]);
    const keeping = {
      ...publisher,
      state: () => publisher.state(),
      publish: async (messages: Parameters<typeof publisher.publish>[0]) => {
        const outcomes = await publisher.publish(messages);
        return outcomes.map((outcome, index) =>
          messages[index]?.body['allocationId'] === stuck?.key ? ({ kind: 'unconfirmed', reason: 'kept back' } as const) : outcome,
        );
      },
    };
    expect(await publishEvents(bench.store, keeping, () => undefined)).toBe(false);
    await publisher.close();
    expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 2, pending: 1 });
    const row = await bench.store.prisma.outboxEntry.findFirstOrThrow({ where: { status: 'pending' } });
    expect(row).toMatchObject({ key: stuck?.key, attempts: 1, lastError: 'kept back' });
    expect(row.nextAttemptAt.getTime()).toBeGreaterThan(row.createdAt.getTime());
  });

  test('two relays at once: one leads, each event leaves once and in order', async () => {
    const listener = await bench.listen('#');
    const relays = await Promise.all([bench.startRelay({ netMs: 5 }), bench.startRelay({ netMs: 5 })]);
    const rows = steps(40, 5);
    await writeOutbox(bench.store, rows);
    await allDelivered(200);
    const arrived = await eventually(() => {
      const bodies = bench.bodiesFor(listener, rows);
      expect(bodies).toHaveLength(200);
      return bodies;
    });
    expect(bench.stepsByKey(arrived)).toEqual(Array.from({ length: 40 }, () => [0, 1, 2, 3, 4]));
    expect(relays.filter((relay) => relay.leads())).toHaveLength(1);
  });

  test('control: without a leader, two that look at the same time publish the same event twice', async () => {
    const listener = await bench.listen('#');
    const publishers = await Promise.all([openPublisher(), openPublisher()]);
    const rows = steps(200, 1);
    await writeOutbox(bench.store, rows);
    let looked = 0;
    const { promise: bothLooked, resolve: mayGo } = Promise.withResolvers<void>();
    const meeting = publishers.map((publisher) => ({
      ...publisher,
      state: () => publisher.state(),
      publish: async (messages: Parameters<typeof publisher.publish>[0]) => {
        looked += 1;
        if (looked === publishers.length) mayGo();
        await bothLooked;
        return publisher.publish(messages);
      },
    }));
    await Promise.all(meeting.map((publisher) => publishEvents(bench.store, publisher, () => undefined)));
    await eventually(() => expect(bench.bodiesFor(listener, rows).length).toBeGreaterThan(200));
    await Promise.all(publishers.map((publisher) => publisher.close()));
  });

  test('a leader that is stopped hands over at once', async () => {
    const first = await bench.startRelay({ leaseTermMs: 60_000 });
    await eventually(() => expect(first.leads()).toBe(true));
    const second = await bench.startRelay({ leaseTermMs: 300 });
    await first.close();
    expect(first.leads()).toBe(false);
    await eventually(() => expect(second.leads()).toBe(true), 20_000);
  });

  test('a leader that died is waited for no longer than its term', async () => {
    expect(await takeLease(bench.store, 'relay', 'killed', 5_000)).toBe(true);
    const relay = await bench.startRelay({ leaseTermMs: 300 });
    await writeOutbox(bench.store, steps(2, 2));
    expect(relay.leads()).toBe(false);
    await allDelivered(4);
    // With so short a term a busy machine loses the lead for a moment.
    await eventually(() => expect(relay.leads()).toBe(true));
  });

  test('killed between publishing and noting it: the events leave again, the same ids and the same bodies', async () => {
    const listener = await bench.listen('#');
    const publisher = await openPublisher();
    const rows = steps(10, 2);
    await writeOutbox(bench.store, rows);
    const killed = {
      ...publisher,
      state: () => publisher.state(),
      publish: async (messages: Parameters<typeof publisher.publish>[0]) => {
        await publisher.publish(messages);
        throw new Error('killed');
      },
    };
    await expect(publishEvents(bench.store, killed, () => undefined)).rejects.toThrow('killed');
    await publisher.close();
    expect(await outboxStates(bench.store, 'event')).toEqual({ pending: 20 });

    await bench.startRelay();
    await allDelivered(20);
    const bodies = await eventually(() => {
      const arrived = bench.bodiesFor(listener, rows);
      expect(arrived).toHaveLength(30);
      return arrived;
    });
    const copies = [...Map.groupBy(bodies, ({ eventId }) => eventId).values()];
    expect(copies).toHaveLength(20);
    for (const group of copies) for (const copy of group) expect(copy).toEqual(group[0]);
    expect(bench.stepsByKey(firstArrivals(bodies))).toEqual(Array.from({ length: 10 }, () => [0, 1]));
  });

  test('a database that is away is said once and waited for', async () => {
    let away = true;
    const prisma = new Proxy(bench.store.prisma, {
      get: (target, name) => (name === '$queryRaw' && away ? () => Promise.reject(new Error('ECONNREFUSED')) : Reflect.get(target, name)),
    });
    const broken = { ...bench.store, prisma };
    await bench.startRelay({ store: broken, netMs: 5 });
    await writeOutbox(bench.store, steps(1, 1));
    const failures = () => bench.lines.filter((line) => line === 'a round of the relay failed, it is tried again');
    await eventually(() => expect(failures().length).toBeGreaterThanOrEqual(2));
    away = false;
    await allDelivered(1);
    // One for each of the four loops.
    expect(failures().length).toBeLessThanOrEqual(4);
  });

  test('a leader that cannot renew its lease stops in time, and asks on until it leads again', async () => {
    let away = false;
    const prisma = new Proxy(bench.store.prisma, {
      get: (target, name) => (name === '$executeRaw' && away ? () => Promise.reject(new Error('ECONNREFUSED')) : Reflect.get(target, name)),
    });
    const relay = await bench.startRelay({ store: { ...bench.store, prisma }, leaseTermMs: 300 });
    await eventually(() => expect(relay.leads()).toBe(true));
    away = true;
    await eventually(() => expect(relay.leads()).toBe(false));
    // A busy machine may be late with the renewal: the lead ends without it.
    await eventually(() => expect(bench.lines.some((line) => line.startsWith('the lease could not be renewed'))).toBe(true));
    away = false;
    await eventually(() => expect(relay.leads()).toBe(true));
  });

  test('Redis away: events still leave, bills wait and are handed out when it is back', async () => {
    const url = new URL(redisUrl());
    const proxy = await startTcpProxy(url);
    url.hostname = '127.0.0.1';
    url.port = String(proxy.port);
    const redis = await openRedis('producer', { url: url.href, clusterNodes: [] });
    const producer = createProducer({ redis, prefix: bench.prefix, maxWaitingJobs: 1_000, logger: createLogger('test', 'silent') });
    const relay = await bench.startRelay({ deliveries: deliveryQueueOf(producer, redis, bench.prefix) });
    await eventually(() => expect(relay.leads()).toBe(true));
    proxy.cut();
    await writeOwed(bench.store, 2);
    await writeOutbox(bench.store, steps(3, 2));
    await allDelivered(6);
    expect(await bench.store.prisma.ledgerEntry.count({ where: { handedOutAt: null } })).toBe(2);
    proxy.restore();
    await eventually(async () => expect(await bench.store.prisma.ledgerEntry.count({ where: { handedOutAt: null } })).toBe(0), 10_000);
    await relay.close();
    await producer.close();
    closeRedis(redis);
    await proxy.close();
  });
});
