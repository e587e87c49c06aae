import { type MaintenanceJobName, maintenancePayload } from '../../queues/jobs/maintenance.ts';
import type { Producer } from '../../queues/producer.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { announce } from '../../shared/run/announce.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import { cleanUp, type Retention } from '../../shared/store/cleanup.ts';
import { noteRun } from '../../shared/store/scheduled-runs.ts';
import type { Store } from '../../shared/store/store.ts';
import { expire } from './expire.ts';
import { reconcile } from './reconcile.ts';
import { tryWaiting } from './wake-waiting.ts';

export interface MaintenanceParts {
  readonly store: Store;
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly producer: Producer;
  readonly cleaningSeconds: number;
  readonly retention: Retention;
  /** How long a request's job may take before the reconciler looks for it, s. */
  readonly graceSeconds?: number;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

type Run = (signal: AbortSignal) => Promise<Readonly<Record<string, unknown>>>;

/** Which verb runs for which schedule: complete by its type. */
export function createHandlers(parts: MaintenanceParts): Record<MaintenanceJobName, JobHandler> {
  const { store, redis, prefix, producer, metrics, logger } = parts;
  const freed = () => announce(redis, prefix, { availability: true, outbox: true, outcomes: [] }, logger);
  const runs: Record<MaintenanceJobName, Run> = {
    expire: (signal) => expire({ store, ending: { cleaningSeconds: parts.cleaningSeconds }, metrics, announce: freed }, signal),
    reconcile: (signal) => reconcile(parts, signal),
    waitlist: () => tryWaiting(store, producer),
    // Bills wait for their next attempt in their rows; this only makes the relay look at once.
    'billing-retry': async () => {
      await announce(redis, prefix, { availability: false, outbox: true, outcomes: [] }, logger);
      return {};
    },
    cleanup: (signal) => cleanUp(store, parts.retention, signal),
  };
  const handler = (name: MaintenanceJobName) =>
    checked(maintenancePayload, (_payload, { signal }) => observed(parts, name, () => runs[name](signal)));
  return {
    expire: handler('expire'),
    reconcile: handler('reconcile'),
    waitlist: handler('waitlist'),
    'billing-retry': handler('billing-retry'),
    cleanup: handler('cleanup'),
  };
}

async function observed(
  { store, metrics }: MaintenanceParts,
  job: MaintenanceJobName,
  run: () => Promise<Readonly<Record<string, unknown>>>,
) {
  const began = performance.now();
  try {
    const result = await run();
    await noteRun(store, job, performance.now() - began, result);
    metrics.scheduledRuns.inc({ job, outcome: 'done' });
    return result;
  } catch (error) {
    metrics.scheduledRuns.inc({ job, outcome: 'failed' });
    throw error;
  }
}
