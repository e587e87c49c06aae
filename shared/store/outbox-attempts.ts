import { type FailedDelivery, failuresJson, type Pause } from './delivery-attempt.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** Rows that are delivered by jobs, one attempt after the other. */
export type DeliveredChannel = 'usage' | 'notice';

/**
 * Notes that rows were not taken: each is tried again after a pause, or becomes a dead letter after `maxAttempts`.
 * A dead report of use holds back the later ones of its allocation, so that a re-drive keeps the order.
 *
 * @returns outbox ids of those that are dead now
 * @throws STORE_UNAVAILABLE
 */
export async function failRows(
  store: Store,
  channel: DeliveredChannel,
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
      WHERE o.id = f.id AND o.channel = ${channel} AND o.status = 'pending'
      RETURNING o.id::text AS "id", o.status = 'dead' AS dead`,
  );
  return rows.filter(({ dead }) => dead).map(({ id }) => id);
}

/** A row that was not sent, and how long it is left alone, ms. */
export interface PutOff {
  readonly id: string;
  readonly waitMs: number;
}

/**
 * Gives claimed rows back unsent: nobody was asked, so the attempt does not count.
 *
 * @throws STORE_UNAVAILABLE
 */
export async function giveBackRows(store: Store, channel: DeliveredChannel, rows: readonly PutOff[]): Promise<void> {
  if (rows.length === 0) return;
  const ids = rows.map(({ id }) => id);
  const waits = rows.map(({ waitMs }) => waitMs);
  await translated(
    store.prisma.$executeRaw`
      UPDATE outbox o SET attempts = greatest(o.attempts - 1, 0), next_attempt_at = now() + p.wait * interval '1 millisecond'
      FROM unnest(${ids}::text[], ${waits}::float8[]) AS p (id, wait)
      WHERE o.id = p.id::bigint AND o.channel = ${channel} AND o.status = 'pending'`,
  );
}
