import type { CapacityChange, CapacitySignal } from '../../queues/capacity-signal.ts';
import { type MaintenanceJobName, maintenancePayload } from '../../queues/jobs/maintenance.ts';
import type { Producer } from '../../queues/producer.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { announce } from '../../shared/run/announce.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import { cleanUp, type Retention } from '../../shared/store/cleanup.ts';
import type { EndedAllocation } from '../../shared/store/end-allocations.ts';
import { type Run, runOnce, tickOf } from '../../shared/store/run-once.ts';
import { takeSnapshots } from '../../shared/store/stats-snapshot.ts';
import type { Store } from '../../shared/store/store.ts';
import { type AutoExtendSettings, autoExtend } from './auto-extend.ts';
import { expire } from './expire.ts';
import { reconcile } from './reconcile.ts';
import { tellAllExpiringSoon } from './tell-expiring-soon.ts';
import { tellFreed } from './tell-freed.ts';

export interface MaintenanceParts {
  readonly store: Store;
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly producer: Producer;
  readonly cleaningSeconds: number;
  /** Silence of a holder that is allowed on top of what was agreed, s. */
  readonly heartbeatGraceSeconds: number;
  readonly retention: Retention;
  readonly autoExtend: AutoExtendSettings;
  /** How long a request's job may take before the reconciler looks for it, s. */
  readonly graceSeconds?: number;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** Which verb runs for which schedule: complete by its type. */
export function createHandlers(parts: MaintenanceParts & { readonly capacity: CapacitySignal }): Record<MaintenanceJobName, JobHandler> {
  const { store, redis, prefix, capacity, metrics, logger } = parts;
  const freed = (change: CapacityChange) => tellFreed(parts, change);
  const told = () => announce(redis, prefix, { availability: false, outbox: true, outcomes: [] }, logger);
  const endings = {
    announce: (ended: readonly EndedAllocation[]) =>
      freed({ devices: ended.map(({ deviceId }) => deviceId), allocations: ended.map(({ allocationId }) => allocationId) }),
    announceCleaned: (devices: readonly string[]) => freed({ devices }),
  };
  const ending = { cleaningSeconds: parts.cleaningSeconds };
  const runs: Record<MaintenanceJobName, Run> = {
    expire: (signal) => expire({ store, ending, heartbeatGraceSeconds: parts.heartbeatGraceSeconds, metrics, logger, ...endings }, signal),
    'auto-extend': (signal) => autoExtend({ ...parts.autoExtend, store, metrics, logger, announce: told }, signal),
    reconcile: (signal) => reconcile(parts, signal),
    // The net: whoever was not woken is found, and who has waited too long is told so.
    waitlist: async () => {
      await capacity.look();
      return {};
    },
    // Bills wait for their next attempt in their rows; this only makes the relay look at once.
    'billing-retry': async () => {
      await told();
      return {};
    },
    'expiring-soon': (signal) => tellAllExpiringSoon(store, signal),
    stats: async () => ({ snapshots: await takeSnapshots(store) }),
    cleanup: (signal) => cleanUp(store, parts.retention, signal),
  };
  const handler = (name: MaintenanceJobName) =>
    checked(maintenancePayload, ({ by }, { id, signal }) =>
      runOnce({ store, metrics, logger }, { job: name, at: by === 'schedule' ? tickOf(id) : undefined, signal }, runs[name]),
    );
  return {
    expire: handler('expire'),
    'auto-extend': handler('auto-extend'),
    reconcile: handler('reconcile'),
    waitlist: handler('waitlist'),
    'billing-retry': handler('billing-retry'),
    'expiring-soon': handler('expiring-soon'),
    stats: handler('stats'),
    cleanup: handler('cleanup'),
  };
}
