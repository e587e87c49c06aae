import { faultPoint } from '../../shared/fault-point.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { EndedAllocation, Ending } from '../../shared/store/end-allocations.ts';
import { type EndBatch, endInBatches } from '../../shared/store/end-in-batches.ts';
import { endCleaning, expireDue } from '../../shared/store/expire.ts';
import { reclaimSilent } from '../../shared/store/heartbeat.ts';
import type { Store } from '../../shared/store/store.ts';

export interface ExpireParts {
  readonly store: Store;
  readonly ending: Ending;
  /** Silence of a holder that is allowed on top of what was agreed, s. */
  readonly heartbeatGraceSeconds: number;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Tells everybody who cares that devices became free. */
  readonly announce: (ended: readonly EndedAllocation[]) => Promise<void>;
  /** Tells them that these devices are clean. */
  readonly announceCleaned: (deviceIds: readonly string[]) => Promise<void>;
}

/** What one run did; `stuck`: allocations that are due and that the database refuses to end. */
export interface ExpireResult {
  readonly expired: number;
  readonly reclaimed: number;
  readonly stuck: number;
  readonly cleaned: number;
}

/**
 * Ends every due allocation, batch after batch until none is due; takes back devices whose holders fell silent; frees
 * devices whose cleaning is over.
 */
export async function expire(parts: ExpireParts, signal: AbortSignal): Promise<Readonly<Record<keyof ExpireResult, number>>> {
  const { store, ending, heartbeatGraceSeconds } = parts;
  faultPoint('expire.1');
  const due = await end(parts, signal, (limit) => expireDue(store, limit, ending));
  const silent = await end(parts, signal, (limit) => reclaimSilent(store, limit, heartbeatGraceSeconds, ending));
  const cleaned = await endCleaning(store);
  if (cleaned.length > 0) await parts.announceCleaned(cleaned);
  return { expired: due.ended, reclaimed: silent.ended, stuck: due.stuck + silent.stuck, cleaned: cleaned.length };
}

function end({ store, metrics, logger, announce }: ExpireParts, signal: AbortSignal, next: (limit: number) => Promise<EndBatch>) {
  return endInBatches(store, {
    next,
    signal,
    onEnded: async (ended) => {
      faultPoint('expire.4');
      for (const { endReason, lateSeconds } of ended) {
        metrics.allocationsEnded.inc({ reason: endReason });
        if (endReason !== 'holder_lost') metrics.expiryLateness.observe(lateSeconds);
      }
      await announce(ended);
      faultPoint('expire.5');
    },
    onStuck: (allocationId, error) => {
      metrics.stuckEnds.inc();
      logger.error({ allocationId, err: error.cause }, 'an allocation that is due cannot be ended; the others are, and it is tried again');
    },
  });
}
