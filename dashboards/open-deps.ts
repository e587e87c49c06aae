import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { createCapacitySignal } from '../queues/capacity-signal.ts';
import { QUEUES } from '../queues/names.ts';
import { createProducer } from '../queues/producer.ts';
import type { Logger } from '../shared/logger.ts';
import { createOutcomeListener } from '../shared/run/completion.ts';
import type { Life } from '../shared/run/life.ts';
import { closeRedis, createRedis, type RedisAddress, whenReady } from '../shared/run/redis.ts';
import { createStore, type StoreOptions } from '../shared/store/store.ts';
import { somebodyWaits, unpark } from '../shared/store/unpark.ts';
import type { DashboardDeps } from './deps.ts';

/** Where everything is. */
export interface DepsOptions {
  readonly store: StoreOptions;
  readonly redis: RedisAddress;
  readonly prefix: string;
  readonly logger: Logger;
}

const READY_WITHIN_MS = 10_000;
const CLOSE_MS = 1_000;
/** The dashboard enqueues what operators say; how much waits does not hold it up. */
const NO_LIMIT = Number.MAX_SAFE_INTEGER;

/**
 * Opens what the dashboard stands on. Postgres is connected to when it is first asked: without it the login and the queues work.
 *
 * @throws SchedulerError QUEUE_UNAVAILABLE when Redis is not there
 */
export async function openDeps(life: Life, { redis: address, prefix, store: storeOptions, logger }: DepsOptions): Promise<DashboardDeps> {
  const store = createStore(storeOptions);
  life.onClose('store', store.close);
  const redis = createRedis('producer', address, logger);
  life.onClose('redis', () => closeRedis(redis));
  const subscriber = createRedis('subscriber', address, logger);
  life.onClose('redis subscriber', () => closeRedis(subscriber));
  await Promise.all([whenReady(redis, READY_WITHIN_MS), whenReady(subscriber, READY_WITHIN_MS)]);
  const instance = randomUUID();
  const outcomes = await createOutcomeListener(subscriber, prefix, instance, logger);
  life.onClose('outcomes', outcomes.close);
  const producer = createProducer({ redis, prefix, maxWaitingJobs: NO_LIMIT, logger });
  life.onClose('producer', () => atMost(CLOSE_MS, producer.close()));
  const capacity = createCapacitySignal({
    redis,
    prefix,
    waits: () => somebodyWaits(store),
    unpark: (users, allocations) => unpark(store, users, allocations),
    logger,
  });
  life.onClose('capacity signal', () => atMost(CLOSE_MS, capacity.close()));
  const queues = Object.values(QUEUES).map((name) => {
    const queue = new Queue(name, { connection: redis, prefix, skipMetasUpdate: true });
    queue.on('error', (error) => logger.warn({ err: error, queue: name }, 'queue connection failed'));
    life.onClose(`queue ${name}`, () => queue.close());
    return queue;
  });
  return { store, redis, prefix, queues, producer, outcomes, instance, capacity, logger };
}

/** Closing politely takes an answer from Redis; when Redis has just gone there is none, and the connection is cut anyway. */
async function atMost(ms: number, closing: Promise<void>): Promise<void> {
  const late = new AbortController();
  await Promise.race([closing, pause(ms, undefined, { signal: late.signal })]);
  late.abort();
}
