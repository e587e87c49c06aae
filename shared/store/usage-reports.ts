import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** A report of use taken for delivery. Memory and storage in GB. */
export interface ClaimedUsage {
  readonly id: string;
  readonly allocationId: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly cpuCores: number;
  readonly memoryGB: number;
  readonly storageGB: number;
  readonly operation: 'increment' | 'decrement';
  readonly traceId: string | null;
}

interface UsageRow {
  readonly id: string;
  readonly key: string;
  readonly payload: Omit<ClaimedUsage, 'id' | 'allocationId' | 'traceId'>;
  readonly traceId: string | null;
}

/**
 * Takes due reports for delivery: those that are the first of their allocation not delivered. The attempt is counted
 * here, so that a report that kills its worker runs out of attempts too. Whoever is not heard of again loses the claim
 * when the lease is over.
 *
 * @param ids      outbox ids of a wake-up; those that are gone, not due or not first are left out
 * @param leaseMs  above the longest delivery, ms
 * @throws STORE_UNAVAILABLE
 */
export async function claimUsageReports(store: Store, ids: readonly string[], leaseMs: number): Promise<readonly ClaimedUsage[]> {
  const rows = await translated(
    store.prisma.$queryRaw<UsageRow[]>`
      UPDATE outbox SET attempts = attempts + 1, next_attempt_at = now() + ${leaseMs} * interval '1 millisecond'
      WHERE id IN (
        SELECT o.id FROM outbox o
        WHERE o.id = ANY (${ids}::text[]::bigint[]) AND o.channel = 'usage' AND o.status = 'pending' AND o.next_attempt_at <= now()
          AND NOT EXISTS (
            SELECT FROM outbox earlier
            WHERE earlier.channel = 'usage' AND earlier.key = o.key AND earlier.id < o.id AND earlier.status <> 'delivered')
        ORDER BY o.id
        FOR UPDATE OF o SKIP LOCKED)
      RETURNING id::text AS "id", key, payload, trace_id AS "traceId"`,
  );
  return rows.map(({ id, key, payload, traceId }) => ({ ...payload, id, allocationId: key, traceId }));
}

/**
 * Notes that reports were counted.
 *
 * @returns outbox ids of the reports that were waiting behind them
 * @throws STORE_UNAVAILABLE
 */
export async function markUsageReported(store: Store, ids: readonly string[]): Promise<readonly string[]> {
  if (ids.length === 0) return [];
  const rows = await translated(
    store.prisma.$queryRaw<{ id: string }[]>`
      WITH done AS (
        UPDATE outbox SET status = 'delivered', delivered_at = now(), last_error = NULL
        WHERE id = ANY (${ids}::text[]::bigint[]) AND channel = 'usage' AND status = 'pending'
        RETURNING id, key)
      SELECT later.id::text AS "id" FROM done
      JOIN outbox later ON later.channel = 'usage' AND later.key = done.key AND later.id > done.id AND later.status <> 'delivered'
      WHERE later.status = 'pending' ORDER BY later.id`,
  );
  return rows.map(({ id }) => id);
}
