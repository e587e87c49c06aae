import type { Metrics } from '../../shared/metrics.ts';
import type { EndedAllocation, Ending } from '../../shared/store/end-allocations.ts';
import { endCleaning, expireDue } from '../../shared/store/expire.ts';
import type { Store } from '../../shared/store/store.ts';

export interface ExpireParts {
  readonly store: Store;
  readonly ending: Ending;
  readonly metrics: Metrics;
  /** Tells everybody who cares that devices became free. */
  readonly announce: (ended: readonly EndedAllocation[]) => Promise<void>;
}

/** Allocations ended in one transaction. */
const BATCH = 500;

/**
 * Ends every due allocation, batch after batch until none is due, and frees devices whose cleaning is over.
 *
 * @returns how many ended and were cleaned
 */
export async function expire(parts: ExpireParts, signal: AbortSignal): Promise<{ expired: number; cleaned: number }> {
  let expired = 0;
  for (;;) {
    signal.throwIfAborted();
    const ended = await expireDue(parts.store, BATCH, parts.ending);
    if (ended.length === 0) break;
    expired += ended.length;
    parts.metrics.allocationsEnded.inc({ reason: 'expired' }, ended.length);
    await parts.announce(ended);
  }
  return { expired, cleaned: await endCleaning(parts.store) };
}
