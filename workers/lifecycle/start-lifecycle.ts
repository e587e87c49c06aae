import { createCapacitySignal } from '../../queues/capacity-signal.ts';
import { QUEUES } from '../../queues/names.ts';
import type { Producer } from '../../queues/producer.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { announce } from '../../shared/run/announce.ts';
import { announceEnded } from '../../shared/run/announce-ended.ts';
import { createCollector } from '../../shared/run/collector.ts';
import { type QueueWorker, startQueueWorker, type WorkerTiming } from '../../shared/run/queue-worker.ts';
import type { RedisAddress, RedisClient } from '../../shared/run/redis.ts';
import { readEnded } from '../../shared/store/outcomes.ts';
import type { NamedRelease, ReleaseResult } from '../../shared/store/release-group.ts';
import type { Store } from '../../shared/store/store.ts';
import { somebodyWaits, unpark } from '../../shared/store/unpark.ts';
import { endGroup } from './end-group.ts';
import { createHandlers, type Tell } from './handlers.ts';

/** What the lifecycle worker works with. */
export interface LifecycleDependencies {
  readonly store: Store;
  /** Fails fast; used for announcements. */
  readonly redis: RedisClient;
  readonly redisAddress: RedisAddress;
  readonly prefix: string;
  readonly producer: Producer;
  readonly cleaningSeconds: number;
  readonly concurrency: number;
  readonly groupMax: number;
  readonly groupParallel: number;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly timing?: Partial<WorkerTiming>;
}

/** Longest run of one job, ms. */
const JOB_DEADLINE_MS = 15_000;

/** Starts ending allocations and cancelling requests. */
export function startLifecycle(deps: LifecycleDependencies): QueueWorker {
  const { store, redis, prefix, metrics, logger } = deps;
  const capacity = createCapacitySignal({
    redis,
    prefix,
    waits: () => somebodyWaits(store),
    unpark: (users, allocations) => unpark(store, users, allocations),
    logger,
  });
  const end = (releases: readonly NamedRelease[]) =>
    endGroup({ ...deps, capacity, ending: { cleaningSeconds: deps.cleaningSeconds } }, releases);
  const collector = createCollector<NamedRelease, ReleaseResult>({
    maxSize: deps.groupMax,
    maxParallel: deps.groupParallel,
    run: end,
    onGroup: (size, seconds) => {
      metrics.groupSize.observe({ group: 'release' }, size);
      metrics.groupDuration.observe({ group: 'release' }, seconds);
    },
  });
  const batches = createCollector<readonly NamedRelease[], ReleaseResult[]>({
    maxSize: 1,
    maxParallel: deps.groupParallel,
    run: (some) => Promise.all(some.map(end)),
    onGroup: (_size, seconds) => metrics.groupDuration.observe({ group: 'release-batch' }, seconds),
  });
  const tell: Tell = async ({ replyTo }, id, outcome) => {
    if (replyTo !== undefined)
      await announce(redis, prefix, { availability: false, outbox: false, outcomes: [{ replyTo, id, outcome }] }, logger);
  };
  const ended = async (requestId: string) => announceEnded(deps, await readEnded(store, [requestId]));
  const worker = startQueueWorker({
    queue: QUEUES.release,
    prefix,
    redis: deps.redisAddress,
    concurrency: deps.concurrency,
    handlers: createHandlers({ store, asked: deps.producer.asked, ended, collector, batches, metrics, tell }),
    deadlineMs: JOB_DEADLINE_MS,
    metrics,
    logger,
    ...(deps.timing === undefined ? {} : { timing: deps.timing }),
  });
  const close = async () => {
    await worker.close();
    await capacity.close();
  };
  return { ...worker, close };
}
