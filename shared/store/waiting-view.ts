import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** Who waits within one tier. */
export interface WaitingTier {
  readonly tier: string;
  readonly count: number;
  /** Passed over for now: at a limit, or without balance. */
  readonly parked: number;
  /** Age of the one that waits longest and of the one in the middle, s. */
  readonly oldestS: number;
  readonly medianS: number;
  /** When the next one is expected to begin, and the last one with nine chances of ten. */
  readonly nextStart: Date | null;
  readonly lastStart: Date | null;
}

/** Who waits, by tier. Reads each waiting request. */
export async function readWaitingTiers(store: Store): Promise<readonly WaitingTier[]> {
  return translated(
    store.prisma.$queryRaw<WaitingTier[]>`
      SELECT r.tier, count(*)::int AS count, count(r.parked)::int AS parked,
        greatest(0, extract(epoch FROM now() - min(r.waiting_since)))::float8 AS "oldestS",
        greatest(0, percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM now() - r.waiting_since)))::float8 AS "medianS",
        min(r.estimated_p50) AS "nextStart", max(r.estimated_p90) AS "lastStart"
      FROM requests r WHERE r.status = 'waiting' GROUP BY r.tier ORDER BY r.tier`,
  );
}
