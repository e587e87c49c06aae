import type { CapacitySignal } from '../../queues/capacity-signal.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import type { Logger } from '../../shared/logger.ts';
import { announce } from '../../shared/run/announce.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import type { Ending } from '../../shared/store/end-allocations.ts';
import { type NamedRelease, type ReleaseResult, releaseGroup } from '../../shared/store/release-group.ts';
import type { Store } from '../../shared/store/store.ts';

export interface EndGroupParts {
  readonly store: Store;
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly capacity: CapacitySignal;
  readonly ending: Ending;
  readonly logger: Logger;
}

/** Ends one group of releases, tells everybody, and wakes whoever waits for what became free. */
export async function endGroup(parts: EndGroupParts, releases: readonly NamedRelease[]): Promise<ReleaseResult[]> {
  const { store, redis, prefix, capacity, logger } = parts;
  const results = await releaseGroup(store, releases, parts.ending);
  faultPoint('release.4');
  const freed = results.flatMap((result) => (result.status === 'released' && result.endedHere ? [result] : []));
  if (freed.length > 0) {
    await Promise.all([
      announce(redis, prefix, { availability: true, outbox: true, outcomes: [] }, logger),
      capacity.changed({ devices: freed.map(({ deviceId }) => deviceId), allocations: freed.map(({ allocationId }) => allocationId) }),
    ]);
  }
  faultPoint('release.5');
  return results;
}
