import type { Producer } from '../../queues/producer.ts';
import type { Logger } from '../../shared/logger.ts';
import { announce } from '../../shared/run/announce.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import type { Ending } from '../../shared/store/end-allocations.ts';
import { type NamedRelease, type ReleaseResult, releaseGroup } from '../../shared/store/release-group.ts';
import type { Store } from '../../shared/store/store.ts';
import { wakeWaiting } from '../../shared/store/undecided.ts';

export interface EndGroupParts {
  readonly store: Store;
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly producer: Producer;
  readonly ending: Ending;
  readonly logger: Logger;
}

/** Ends one group of releases, tells everybody, and lets waiting requests try for what became free. */
export async function endGroup(parts: EndGroupParts, releases: readonly NamedRelease[]): Promise<ReleaseResult[]> {
  const { store, redis, prefix, logger } = parts;
  const results = await releaseGroup(store, releases, parts.ending);
  const freed = results.filter((result) => result.status === 'released' && result.endedHere).length;
  if (freed > 0) {
    await announce(redis, prefix, { availability: true, outbox: true, outcomes: [] }, logger);
    await wake(parts, freed);
  }
  return results;
}

/** The releases are done already: what fails here is made up for by the next look at the waiting requests. */
async function wake({ store, producer, logger }: EndGroupParts, freed: number): Promise<void> {
  try {
    await producer.allocateAgain(await wakeWaiting(store, 'tier', freed));
  } catch (error) {
    logger.warn({ err: error }, 'waiting requests could not be woken; the reconciler will');
  }
}
