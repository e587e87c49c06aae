import { setTimeout as pause } from 'node:timers/promises';
import { QUEUES } from '../queues/names.ts';
import { createProducer } from '../queues/producer.ts';
import { createBalanceFacts } from '../shared/clients/balance-facts.ts';
import { createBatchReader } from '../shared/clients/batch-reader.ts';
import { createQuotaFacts } from '../shared/clients/quota-facts.ts';
import { createLogger } from '../shared/logger.ts';
import { createMetrics } from '../shared/metrics.ts';
import { RESOURCE_BASED } from '../shared/placement/strategy.ts';
import type { Quota } from '../shared/quota/quota.ts';
import { closeRedis, createRedis, type RedisAddress, type RedisClient, whenReady } from '../shared/run/redis.ts';
import { createStore } from '../shared/store/store.ts';
import { startAllocation } from '../workers/allocation/start-allocation.ts';
import { alternate } from './alternate.ts';
import { requests } from './backlog.ts';
import { assertComplete } from './complete.ts';
import { openPlace, type Place, PREFIX } from './place.ts';
import { measureBareQueue } from './references/bare-queue.ts';
import { measurePlainWorker } from './references/plain-worker.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { ratioOf, spreadOf } from './spread.ts';

const USERS = 5_000;
const POLL_MS = 20;
/** Where BullMQ keeps the jobs that were taken and are not finished. */
const ACTIVE = `${PREFIX}:${QUEUES.allocate}:active`;

/** As in `shared/config.ts`: what a worker process does when nobody says otherwise. */
const CONCURRENCY = 400;
const GROUP_MAX = 200;
const GROUP_PARALLEL = 2;

const QUOTA: Quota = { status: 'active', limits: { maxDevices: 1_000 }, validFrom: null, validUntil: null };

/** How many decisions one worker process makes durable, while a backlog waits. */
export const throughput: Scenario = {
  name: 'throughput',
  about: 'decisions per second of one worker process with a backlog: bare BullMQ no-op jobs and a plain Prisma worker beside it',
  run: async (run) => {
    const place = await openPlace(run.servers, run.say);
    try {
      return await compare(run, place);
    } finally {
      await place.close();
    }
  },
};

async function compare(run: BenchRun, place: Place): Promise<Figure[]> {
  const devices = run.quick ? 5_000 : 200_000;
  const jobs = run.quick ? 2_000 : 20_000;
  // One transaction a job is so slow that a tenth of the jobs takes as long; a rate does not mind.
  const plainJobs = jobs / 10;
  const address = { url: run.servers.redisUrl, clusterNodes: run.servers.redisClusterNodes };
  const numbers = await alternate(run, [
    {
      name: 'ours',
      measure: async () => {
        await place.renew(devices);
        return { 'jobs/s': await measureOurs(place.databaseUrl, address, jobs) };
      },
    },
    { name: 'bare BullMQ', measure: async () => ({ 'jobs/s': await measureBareQueue(address, PREFIX, jobs, CONCURRENCY) }) },
    {
      name: 'plain Prisma worker',
      measure: async () => {
        await place.renew(devices);
        return { 'jobs/s': await measurePlainWorker(place.databaseUrl, address, PREFIX, plainJobs, USERS) };
      },
    },
  ]);
  const [ours, bare, plain] = [0, 1, 2].map((side) => numbers(side, 'jobs/s')) as [number[], number[], number[]];
  const toBare = ratioOf(ours, bare);
  const toPlain = ratioOf(ours, plain);
  const figure = { measure: 'decided and durable', unit: '/s', ours: spreadOf(ours) };
  return [
    {
      ...figure,
      reference: { name: 'bare BullMQ no-op', spread: spreadOf(bare) },
      ratio: toBare,
      goal: { text: '≥ 0.35 ×', met: toBare.median >= 0.35 },
    },
    {
      ...figure,
      reference: { name: 'one Prisma transaction a job', spread: spreadOf(plain) },
      ratio: toPlain,
      goal: { text: '≥ 5 ×', met: toPlain.median >= 5 },
    },
  ];
}

/** Enqueues, warms the cache of the quotas, then lets the worker run until nothing waits. @returns decisions per second */
async function measureOurs(databaseUrl: string, address: RedisAddress, jobs: number): Promise<number> {
  const logger = createLogger('bench', 'warn');
  const store = createStore({ databaseUrl, poolSize: 10, acquireTimeoutMs: 3_000, statementTimeoutMs: 8_000, applicationName: 'bench' });
  const redis = createRedis('cache', address, logger);
  const producerRedis = createRedis('producer', address, logger);
  await Promise.all([whenReady(redis, 5_000), whenReady(producerRedis, 5_000)]);
  const producer = createProducer({ redis: producerRedis, prefix: PREFIX, maxWaitingJobs: Number.MAX_SAFE_INTEGER, logger });
  for (let from = 0; from < jobs; from += 1_000) await producer.allocate(requests(from, Math.min(1_000, jobs - from), USERS));
  const metrics = createMetrics('bench');
  const facts = await knownFacts(redis, metrics, logger);

  const began = performance.now();
  const worker = startAllocation({
    store,
    redis,
    redisAddress: address,
    prefix: PREFIX,
    ...facts,
    outagePolicy: { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: false },
    strategy: () => RESOURCE_BASED,
    concurrency: CONCURRENCY,
    groupMax: GROUP_MAX,
    groupParallel: GROUP_PARALLEL,
    locks: true,
    metrics,
    logger,
  });
  while ((await producer.waiting()) > 0 || (await redis.llen(ACTIVE)) > 0) await pause(POLL_MS);
  const seconds = (performance.now() - began) / 1_000;

  await assertComplete(store, jobs);
  await worker.close();
  await producer.close();
  for (const client of [redis, producerRedis]) closeRedis(client);
  await store.close();
  return jobs / seconds;
}

/** Quota and balance of every user as a running cluster knows them: in the cache of Redis, and read from there per job. */
async function knownFacts(redis: RedisClient, metrics: ReturnType<typeof createMetrics>, logger: ReturnType<typeof createLogger>) {
  const shared = { redis, prefix: PREFIX, reader: createBatchReader(redis), metrics, logger, ttlSeconds: 600 };
  const quota = createQuotaFacts({
    ...shared,
    client: { fetchQuota: async () => ({ kind: 'known', quota: QUOTA }) },
    lastKnownOnError: false,
  });
  const balance = createBalanceFacts({
    ...shared,
    client: { fetchBalance: async () => ({ kind: 'allowed', status: 'active', balance: 100 }) },
  });
  const options = { deadlineMs: 10_000, traceId: undefined };
  for (let from = 0; from < USERS; from += 500) {
    const users = Array.from({ length: 500 }, (_, index) => `user-${from + index}`);
    await Promise.all(users.flatMap((user) => [quota.quotaOf(user, options), balance.balanceOf(user, options)]));
  }
  return { quota, balance };
}
