import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createJobCounter } from '../../queues/count-jobs.ts';
import { createProducer } from '../../queues/producer.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';
import { outboxChannel } from '../../shared/run/announce.ts';
import { closeRedis } from '../../shared/run/redis.ts';
import { deliveryQueueOf } from '../../workers/relay/delivery-queue.ts';
import { type Relay, startRelay } from '../../workers/relay/start-relay.ts';
import { type ApiBench, type ApiServer, asService, openApiBench } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { openRedis, redisAddress } from '../support/open-redis.ts';
import { outboxStates, steps, writeOutbox } from '../support/outbox-rows.ts';
import { rabbitmqUrl } from '../support/rabbitmq.ts';

let bench: ApiBench;
let api: ApiServer;
const logger = createLogger('test', 'silent');
const closers: (() => Promise<void>)[] = [];

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  // Every run is remembered with what came of it, whoever ran it.
  await bench.store.prisma.$executeRaw`CREATE TABLE runs (tick bigint, result jsonb, at timestamptz DEFAULT clock_timestamp())`;
  await bench.store.prisma.$executeRaw`
    CREATE FUNCTION note_run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO runs VALUES (NEW.last_tick, NEW.last_result); RETURN NEW; END $$`;
  await bench.store.prisma.$executeRaw`
    CREATE TRIGGER note_run AFTER UPDATE ON scheduled_runs FOR EACH ROW WHEN (OLD.holder IS NOT NULL AND NEW.holder IS NULL) EXECUTE FUNCTION note_run()`;
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await bench.store.prisma.$executeRaw`TRUNCATE outbox, scheduled_runs, runs, leases`;
});
afterAll(() => bench.close());

/** A relay as its process starts one, with a net of its own so wide that only signals and ticks wake it. */
async function start(): Promise<{ relay: Relay; metrics: Metrics; close: () => Promise<void> }> {
  const { store, prefix } = bench;
  const [redis, subscriber] = [await openRedis('producer'), await openRedis('subscriber')];
  const metrics = createMetrics('test');
  const producer = createProducer({ redis, prefix, maxWaitingJobs: 1_000, logger });
  const deliveries = deliveryQueueOf(producer, redis, prefix);
  const counter = createJobCounter(redis, prefix);
  const schedule = { redis, redisAddress: redisAddress(), metrics };
  const broker = { url: rabbitmqUrl() };
  const relay = await startRelay({
    store,
    deliveries,
    jobs: counter,
    subscriber,
    prefix,
    logger,
    metrics,
    broker,
    netMs: 600_000,
    schedule,
  });
  let closed: Promise<void> | undefined;
  const shut = async () => {
    await relay.close();
    await counter.close();
    await producer.close();
    for (const connection of [redis, subscriber]) closeRedis(connection);
  };
  const close = () => {
    closed ??= shut();
    return closed;
  };
  closers.push(close);
  return { relay, metrics, close };
}

const jobs = async () => (await api.call('GET', '/scheduler/jobs', { as: await asService() })).body.data.items;
const job = async () => (await jobs()).find(({ name }: { name: string }) => name === 'outbox-relay');
const post = async (verb: string) => (await api.call('POST', `/scheduler/jobs/outbox-relay/${verb}`, { as: await asService() })).body.data;
const runs = () =>
  bench.store.prisma.$queryRaw<
    { tick: number | null; result: { events: number } }[]
  >`SELECT tick::float8 AS tick, result FROM runs ORDER BY at`;
const commit = async (count: number) => {
  await writeOutbox(bench.store, steps(count, 1));
  await bench.redis.publish(outboxChannel(bench.prefix), '');
};

test('the scheduled jobs that are listed are the nine that were promised and two of our own', async () => {
  const promised = [
    'expire',
    'expiring-soon',
    'reservations',
    'waitlist',
    'reconcile',
    'outbox-relay',
    'billing-retry',
    'stats',
    'cleanup',
  ];
  const names = (await jobs()).map(({ name }: { name: string }) => name);
  expect(names.toSorted()).toEqual([...promised, 'auto-extend', 'reservation-series'].toSorted());
});

describe('the job outbox-relay', () => {
  test('runs once a tick, by the relay that leads and then by the next', async () => {
    const first = await start();
    await eventually(() => expect(first.relay.leads()).toBe(true));
    const second = await start();
    await eventually(async () => expect((await runs()).length).toBeGreaterThan(1));
    await first.close();
    const before = (await runs()).length;
    await eventually(async () => expect((await runs()).length).toBeGreaterThan(before + 1), 20_000);
    expect(second.relay.leads()).toBe(true);
    const ticks = (await runs()).map(({ tick }) => tick ?? 0);
    expect(ticks).toEqual([...new Set(ticks)].toSorted((a, b) => a - b));
  }, 180_000);

  test('is a net under signals that got lost, and tells what has left', async () => {
    await start();
    await eventually(async () => expect((await runs()).length).toBeGreaterThan(0), 20_000);
    await writeOutbox(bench.store, steps(7, 1));
    await eventually(async () => expect((await runs()).reduce((sum, { result }) => sum + result.events, 0)).toBe(7), 20_000);
    expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 7 });
    expect(await job()).toMatchObject({
      every: 1,
      lastRunAt: expect.any(String),
      nextRunAt: expect.any(String),
      lastDurationMs: expect.any(Number),
      lastResult: { events: expect.any(Number), usageReports: 0, bills: 0, notices: 0 },
      lastError: null,
      paused: false,
    });
  }, 180_000);

  test('paused lets nothing leave, whoever commits, until it is run or resumed', async () => {
    const { metrics } = await start();
    const skipped = async () => (await metrics.scheduledRuns.get()).values.find(({ labels }) => labels.outcome === 'skipped')?.value ?? 0;
    const ticksGoBy = async (count: number) => {
      const before = await skipped();
      await eventually(async () => expect(await skipped()).toBeGreaterThanOrEqual(before + count), 20_000);
    };
    await eventually(async () => expect((await runs()).length).toBeGreaterThan(0), 20_000);
    expect(await post('pause')).toMatchObject({ name: 'outbox-relay', paused: true, nextRunAt: null });
    await ticksGoBy(3);
    await commit(3);
    await ticksGoBy(2);
    expect(await outboxStates(bench.store, 'event')).toEqual({ pending: 3 });

    await post('run');
    await eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 3 }), 20_000);
    await commit(2);
    await ticksGoBy(2);
    expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 3, pending: 2 });

    expect(await post('resume')).toMatchObject({ paused: false });
    await eventually(async () => expect(await outboxStates(bench.store, 'event')).toEqual({ delivered: 5 }), 20_000);
  }, 180_000);
});
