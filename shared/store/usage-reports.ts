import { type FailedDelivery, failuresJson, type Pause } from './delivery-attempt.ts';
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

/**
 * Notes that reports were not counted: each is tried again after a pause, or becomes a dead letter after `maxAttempts`.
 * A dead report holds back the later ones of its allocation, so that a re-drive keeps the order.
 *
 * @returns outbox ids of those that are dead now
 * @throws STORE_UNAVAILABLE
 */
export async function failUsageReports(
  store: Store,
  failures: readonly FailedDelivery[],
  pause: Pause,
  maxAttempts: number,
): Promise<readonly string[]> {
  if (failures.length === 0) return [];
  const rows = await translated(
    store.prisma.$queryRaw<{ id: string; dead: boolean }[]>`
      UPDATE outbox o SET last_error = f.reason,
        status = CASE WHEN o.attempts >= ${maxAttempts} THEN 'dead' ELSE 'pending' END,
        next_attempt_at = now() + least(${pause.maxMs}::float8, greatest(f.wait, ${pause.baseMs}::float8 * 2 ^ least(o.attempts - 1, 30) * (0.5 + random() / 2))) * interval '1 millisecond'
      FROM jsonb_to_recordset(${failuresJson(failures)}::jsonb) AS f (id bigint, reason text, wait float8)
      WHERE o.id = f.id AND o.channel = 'usage' AND o.status = 'pending'
      RETURNING o.id::text AS "id", o.status = 'dead' AS dead`,
  );
  return rows.filter(({ dead }) => dead).map(({ id }) => id);
}

/**
 * Gives claimed reports back unsent: the neighbour was not asked, so the attempt does not count.
 *
 * @param pauseMs  until the next attempt, ms
 * @throws STORE_UNAVAILABLE
 */
export async function giveBackUsageReports(store: Store, ids: readonly string[], pauseMs: number): Promise<void> {
  if (ids.length === 0) return;
  await translated(
    store.prisma.$executeRaw`
      UPDATE outbox SET attempts = greatest(attempts - 1, 0), next_attempt_at = now() + ${pauseMs} * interval '1 millisecond'
      WHERE id = ANY (${ids}::text[]::bigint[]) AND channel = 'usage' AND status = 'pending'`,
  );
}
