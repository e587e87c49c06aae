import { createCapacitySignal } from '../../queues/capacity-signal.ts';
import { keepSchedules } from '../../queues/keep-schedules.ts';
import { QUEUES } from '../../queues/names.ts';
import type { Schedule } from '../../queues/schedules.ts';
import { startQueueWorker, type WorkerTiming } from '../../shared/run/queue-worker.ts';
import type { RedisAddress } from '../../shared/run/redis.ts';
import { somebodyWaits, unpark } from '../../shared/store/unpark.ts';
import { afterOutage } from './after-outage.ts';
import { createHandlers, type MaintenanceParts } from './handlers.ts';
import { GRACE_S, reconcile } from './reconcile.ts';

/** What the maintenance worker works with. */
export interface MaintenanceDependencies extends MaintenanceParts {
  readonly redisAddress: RedisAddress;
  readonly schedules: readonly Schedule[];
  /** How often the schedules are looked after, ms: a Redis that lost its data has them back after this long. */
  readonly keepEveryMs?: number;
  readonly timing?: Partial<WorkerTiming>;
}

/** Longest run of one job, ms. */
const JOB_DEADLINE_MS = 5 * 60_000;
/** Each schedule has at most one job at a time; this many different ones may run at once. */
const CONCURRENCY = 20;

/**
 * Starts the scheduled jobs: the schedules themselves and the worker that runs what is due. When the schedules were gone,
 * Redis has lost its data: what it held is handed out again at once. When it only was away, what was accepted meanwhile is
 * handed out some seconds after its return.
 */
export async function startMaintenance(deps: MaintenanceDependencies): Promise<{ healthy(): boolean; close(): Promise<void> }> {
  const { redis, prefix, metrics, logger } = deps;
  const capacity = createCapacitySignal({
    redis,
    prefix,
    waits: () => somebodyWaits(deps.store),
    unpark: (users, allocations) => unpark(deps.store, users, allocations),
    logger,
  });
  const keeper = await keepSchedules({
    redis,
    prefix,
    schedules: deps.schedules,
    everyMs: deps.keepEveryMs ?? 15_000,
    onLost: async () => {
      await reconcile({ ...deps, capacity }, new AbortController().signal);
    },
    logger,
  });
  // A little later than the grace, so that the last one that was accepted during the outage is among them.
  const outages = afterOutage(
    redis,
    (deps.graceSeconds ?? GRACE_S) * 1_000 + 500,
    () => reconcile({ ...deps, capacity }, new AbortController().signal),
    logger,
  );
  const worker = startQueueWorker({
    queue: QUEUES.maintenance,
    prefix,
    redis: deps.redisAddress,
    concurrency: CONCURRENCY,
    handlers: createHandlers({ ...deps, capacity }),
    deadlineMs: JOB_DEADLINE_MS,
    noted: true,
    metrics,
    logger,
    ...(deps.timing === undefined ? {} : { timing: deps.timing }),
  });
  return {
    healthy: worker.healthy,
    close: async () => {
      await outages.close();
      await keeper.close();
      await worker.close();
      await capacity.close();
    },
  };
}
