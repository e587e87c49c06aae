import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** What happened within one minute. Waits are of the requests accepted in it and granted, from acceptance to decision, ms. */
export interface MinuteCounts {
  readonly granted: number;
  readonly refused: number;
  readonly released: number;
  readonly expired: number;
  readonly p50: number | null;
  readonly p95: number | null;
}

/**
 * Counts one minute, through the indexes of history: the cost is that of the minute, not of the tables.
 *
 * @param from  when it began
 */
export async function countMinute(store: Store, from: Date): Promise<MinuteCounts> {
  const until = new Date(from.getTime() + 60_000);
  const [row] = await translated(
    store.prisma.$queryRaw<MinuteCounts[]>`
      SELECT
        (SELECT count(*)::int FROM allocations a WHERE a.allocated_at >= ${from} AND a.allocated_at < ${until}) AS granted,
        (SELECT count(*)::int FROM requests r WHERE r.decided_at >= ${from} AND r.decided_at < ${until} AND r.allocation_id IS NULL AND r.status = 'refused') AS refused,
        ended.released, ended.expired, waits.p50, waits.p95
      FROM (
        SELECT count(*) FILTER (WHERE a.status = 'released')::int AS released, count(*) FILTER (WHERE a.status = 'expired')::int AS expired
        FROM allocations a WHERE a.status <> 'allocated' AND a.ended_at >= ${from} AND a.ended_at < ${until}
      ) ended CROSS JOIN (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) AS p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY waited) AS p95
        FROM (SELECT extract(epoch FROM r.decided_at - r.created_at)::float8 * 1000 AS waited FROM requests r
              WHERE r.created_at >= ${from} AND r.created_at < ${until} AND r.status = 'granted') w
      ) waits`,
  );
  return row ?? { granted: 0, refused: 0, released: 0, expired: 0, p50: null, p95: null };
}
