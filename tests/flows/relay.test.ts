import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import type { DeliverPayload } from '../../queues/jobs/deliver.ts';
import { QUEUES } from '../../queues/names.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { markDelivered } from '../../shared/store/outbox.ts';
import { listenToEvents } from '../support/event-listener.ts';
import { eventually } from '../support/eventually.ts';
import { outboxStates, steps, writeOutbox, writeOwed } from '../support/outbox-rows.ts';
import { openRelayBench, type RelayBench } from '../support/relay-bench.ts';

let bench: RelayBench;
let reports: Queue<DeliverPayload>;
let bills: Queue<DeliverPayload>;

beforeEach(async () => {
  bench = await openRelayBench();
  reports = new Queue(QUEUES.delivery, { connection: bench.redis, prefix: bench.prefix });
  bills = new Queue(QUEUES.billing, { connection: bench.redis, prefix: bench.prefix });
});

afterEach(async () => {
  await reports.close();
  await bills.close();
  await bench.close();
});

const jobs = async () =>
  (await Promise.all([reports, bills].map((queue) => queue.getJobs(['waiting', 'prioritized'])))).flat().map(({ data }) => data);
const handedOut = async () => (await jobs()).flatMap(({ ids }) => ids);

async function usageIds(): Promise<string[]> {
  const rows = await bench.store.prisma.outboxEntry.findMany({ where: { channel: 'usage' }, orderBy: { id: 'asc' } });
  return rows.map(({ id }) => String(id));
}

describe('the relay publishes events', () => {
  test('every event leaves once, flat, and in order per allocation', async () => {
    const listener = await bench.listen('#');
    const rows = steps(5, 4);
    await writeOutbox(bench.store, rows);
    await bench.startRelay();
    await eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 20 }));
    const bodies = await eventually(() => {
      const arrived = bench.bodiesFor(listener, rows);
      expect(arrived).toHaveLength(20);
      return arrived;
    });
    expect(bench.stepsByKey(bodies)).toEqual(Array.from({ length: 5 }, () => [0, 1, 2, 3]));
    expect(bodies[0]).toEqual({
      allocationId: expect.any(String),
      step: 0,
      eventId: expect.any(String),
      type: 'device.allocated',
      version: 1,
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
    });
  });

  test('a commit wakes it long before it would look by itself', async () => {
    const relay = await bench.startRelay({ netMs: 600_000 });
    await eventually(() => expect([relay.leads(), relay.brokerState()]).toEqual([true, 'ready']));
    await writeOutbox(bench.store, steps(1, 1));
    await bench.signal();
    await eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 1 }));
  });

  test('it looks by itself when a signal was lost', async () => {
    await bench.startRelay({ netMs: 20 });
    await writeOutbox(bench.store, steps(1, 1));
    await eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 1 }));
  });

  test('an event that is refused is tried again later, and only its own allocation waits for it', async () => {
    const topic = `refused.${randomUUID()}`;
    const full = await listenToEvents(topic, { maxLength: 0, overflow: 'reject-publish' });
    const [first, second] = steps(1, 2);
    if (first === undefined || second === undefined) throw new Error('two rows are needed');
    await writeOutbox(bench.store, [{ ...first, topic }, second, ...steps(3, 1)]);
    await bench.startRelay();
    await eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 3, pending: 2 }));
    const refused = await eventually(async () => {
      const row = await bench.store.prisma.outboxEntry.findFirstOrThrow({ where: { topic } });
      expect(row.attempts).toBeGreaterThanOrEqual(1);
      return row;
    });
    expect(refused.lastError).toBe('message nacked');
    await full.close();
    await eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 5 }));
  });

  test('with events off they are set aside, and deliveries go on', async () => {
    await writeOutbox(bench.store, [...steps(3, 2), { channel: 'usage', key: randomUUID(), topic: 'increment' }]);
    const relay = await bench.startRelay({ broker: { url: '' } });
    expect(relay.brokerState()).toBe('off');
    await eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 6 }));
    await eventually(async () => expect(await handedOut()).toEqual(await usageIds()));
  });

  test('what waits is counted by channel', async () => {
    await writeOutbox(bench.store, [
      { channel: 'usage', key: 'a' },
      { channel: 'usage', key: 'a' },
    ]);
    const relay = await bench.startRelay();
    await eventually(async () => {
      expect(relay.leads()).toBe(true);
      const { values } = await bench.metrics.outboxPending.get();
      expect(values.map(({ labels, value }) => [labels.channel, value])).toEqual([
        ['event', 0],
        ['usage', 2],
        ['notice', 0],
      ]);
    });
  });

  test('the leader alone counts what the cluster has to do', async () => {
    const { prisma } = bench.store;
    await prisma.$executeRaw`
      INSERT INTO outbox (channel, topic, key, payload, status, attempts, last_error) VALUES ('usage', 'increment', 'x', '{}', 'dead', 10, 'refused')`;
    const relays = await Promise.all(
      ['one', 'other'].map(async (name) => {
        const metrics = createMetrics(name);
        return { metrics, relay: await bench.startRelay({ metrics }) };
      }),
    );
    await eventually(async () => {
      const [leading, ...more] = relays.filter(({ relay }) => relay.leads());
      const following = relays.find(({ relay }) => !relay.leads());
      if (leading === undefined || following === undefined) throw new Error(`${more.length + 1} lead`);
      const dead = await leading.metrics.deadLetters.get();
      expect(dead.values.map(({ labels, value }) => [labels.kind, value])).toEqual([
        ['billing', 0],
        ['usage', 1],
        ['notification', 0],
        ['event', 0],
      ]);
      const jobs = await leading.metrics.queueJobs.get();
      expect(new Set(jobs.values.map(({ labels }) => labels.queue))).toEqual(new Set(Object.values(QUEUES)));
      expect((await following.metrics.registry.metrics()).match(/^scheduler_(dead_letters|queue_jobs|allocations_live)\{/gm)).toBeNull();
    });
  });
});

describe('the relay hands out deliveries', () => {
  test('only the first report of use of an allocation is handed out until it is delivered', async () => {
    const rows = steps(3, 2).map((row) => ({
      ...row,
      channel: 'usage' as const,
      topic: row.payload.step === 0 ? 'increment' : 'decrement',
    }));
    await writeOutbox(bench.store, rows);
    const ids = await usageIds();
    await bench.startRelay();
    await eventually(async () => expect(await handedOut()).toEqual(ids.slice(0, 3)));
    await reports.drain();
    await markDelivered(bench.store, ids.slice(0, 1));
    await eventually(async () => expect(await handedOut()).toEqual(ids.slice(3, 4)));
  });

  test('a report that was given up keeps the later one of its allocation waiting', async () => {
    await writeOutbox(bench.store, [
      { channel: 'usage', key: 'a', topic: 'increment' },
      { channel: 'usage', key: 'a', topic: 'decrement' },
      { channel: 'usage', key: 'b', topic: 'increment' },
    ]);
    const ids = await usageIds();
    await bench.store.prisma.outboxEntry.update({ where: { id: BigInt(ids[0] ?? 0) }, data: { status: 'dead' } });
    await bench.startRelay();
    await eventually(async () => expect(await handedOut()).toEqual(ids.slice(2)));
  });

  test('bills are handed out in jobs of a hundred at most', async () => {
    const owed = await writeOwed(bench.store, 250);
    await bench.startRelay();
    await eventually(async () => expect((await handedOut()).toSorted()).toEqual(owed.toSorted()));
    expect((await jobs()).map(({ kind, ids }) => [kind, ids.length]).toSorted()).toEqual([
      ['billing', 100],
      ['billing', 100],
      ['billing', 50],
    ]);
  });

  test('a row is handed out once an attempt, not once a look', async () => {
    const owed = await writeOwed(bench.store, 3);
    await bench.startRelay({ netMs: 5 });
    await eventually(async () => expect(await handedOut()).toHaveLength(3));
    await bills.drain();
    await bench.store.prisma.ledgerEntry.updateMany({
      where: { allocationId: owed[0] ?? '' },
      data: { attempts: 1, nextAttemptAt: new Date(Date.now() + 100) },
    });
    await eventually(async () => expect(await handedOut()).toEqual(owed.slice(0, 1)));
  });

  test('rows whose jobs were lost with Redis are handed out again', async () => {
    const owed = await writeOwed(bench.store, 3);
    await bench.startRelay({ netMs: 20, lostAfterMs: 300 });
    await eventually(async () => expect(await handedOut()).toHaveLength(3));
    await bench.forgetRedis();
    await eventually(async () => expect((await handedOut()).toSorted()).toEqual(owed.toSorted()));
  });

  test('while many jobs wait, rows wait in Postgres', async () => {
    const data = { kind: 'billing' as const, ids: [randomUUID()] };
    await bills.addBulk(Array.from({ length: 200 }, () => ({ name: 'deliver-billing', data })));
    await writeOutbox(bench.store, [{ channel: 'usage', key: 'a', topic: 'increment' }]);
    const owed = await writeOwed(bench.store, 1);
    await bench.startRelay({ netMs: 20 });
    await writeOutbox(bench.store, steps(1, 1));
    await eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 1 }));
    // The reports of use have a queue of their own.
    await eventually(async () => expect(await reports.count()).toBe(1));
    expect(await bench.store.prisma.ledgerEntry.count({ where: { handedOutAt: null } })).toBe(1);
    await reports.drain();
    await bills.drain();
    await eventually(async () => expect(await handedOut()).toEqual(owed));
  });
});
