import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/*
 * Handing out rows to the delivery jobs. The job is only a wake-up; the row says what is to be done and whether it is done.
 *
 * A row is handed out when its next attempt is due and it was not handed out since the last attempt ended
 * (handed_out_at < next_attempt_at: who attempts moves next_attempt_at forward). A row whose job never did anything,
 * because Redis lost it, is handed out again after `againAfterMs`. Rows are locked with SKIP LOCKED in the statement
 * that notes the hand-out, so two relays never hand out the same row at the same time.
 */

/** A row of the outbox on its way to a delivery job. */
export interface HandedOut {
  readonly id: string;
  /** What led to it. */
  readonly traceId: string | null;
}

/**
 * Hands out reports of use: due ones that are the first of their allocation not yet delivered, oldest first.
 *
 * @returns in the order they were written, at most `limit`
 * @throws STORE_UNAVAILABLE
 */
export async function handOutUsage(store: Store, limit: number, againAfterMs: number): Promise<readonly HandedOut[]> {
  const rows = await translated(
    store.prisma.$queryRaw<HandedOut[]>`
      UPDATE outbox SET handed_out_at = now()
      WHERE id IN (
        SELECT o.id FROM outbox o
        WHERE o.channel = 'usage' AND o.status = 'pending' AND o.next_attempt_at <= now()
          AND (o.handed_out_at IS NULL OR o.handed_out_at < o.next_attempt_at OR o.handed_out_at < now() - ${againAfterMs} * interval '1 millisecond')
          AND NOT EXISTS (
            SELECT FROM outbox earlier
            WHERE earlier.channel = 'usage' AND earlier.key = o.key AND earlier.id < o.id AND earlier.status <> 'delivered')
        ORDER BY o.next_attempt_at, o.id
        LIMIT ${limit}
        FOR UPDATE OF o SKIP LOCKED)
      RETURNING id::text AS "id", trace_id AS "traceId"`,
  );
  return rows.sort((a, b) => Number(a.id) - Number(b.id));
}

/**
 * Hands out notices to people, the longest due first. Each stands alone: none waits for another.
 *
 * @returns in the order they were written, at most `limit`
 * @throws STORE_UNAVAILABLE
 */
export async function handOutNotices(store: Store, limit: number, againAfterMs: number): Promise<readonly HandedOut[]> {
  const rows = await translated(
    store.prisma.$queryRaw<HandedOut[]>`
      UPDATE outbox SET handed_out_at = now()
      WHERE id IN (
        SELECT o.id FROM outbox o
        WHERE o.channel = 'notice' AND o.status = 'pending' AND o.next_attempt_at <= now()
          AND (o.handed_out_at IS NULL OR o.handed_out_at < o.next_attempt_at OR o.handed_out_at < now() - ${againAfterMs} * interval '1 millisecond')
        ORDER BY o.next_attempt_at, o.id
        LIMIT ${limit}
        FOR UPDATE OF o SKIP LOCKED)
      RETURNING id::text AS "id", trace_id AS "traceId"`,
  );
  return rows.sort((a, b) => Number(a.id) - Number(b.id));
}

/**
 * Hands out what is owed to billing, the longest due first.
 *
 * @returns allocation ids, at most `limit`
 * @throws STORE_UNAVAILABLE
 */
export async function handOutBilling(store: Store, limit: number, againAfterMs: number): Promise<readonly string[]> {
  const rows = await translated(
    store.prisma.$queryRaw<{ allocationId: string }[]>`
      UPDATE ledger SET handed_out_at = now()
      WHERE allocation_id IN (
        SELECT l.allocation_id FROM ledger l
        WHERE l.status = 'owed' AND l.next_attempt_at <= now()
          AND (l.handed_out_at IS NULL OR l.handed_out_at < l.next_attempt_at OR l.handed_out_at < now() - ${againAfterMs} * interval '1 millisecond')
        ORDER BY l.next_attempt_at, l.allocation_id
        LIMIT ${limit}
        FOR UPDATE OF l SKIP LOCKED)
      RETURNING allocation_id::text AS "allocationId"`,
  );
  return rows.map(({ allocationId }) => allocationId);
}
