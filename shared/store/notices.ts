import type { OutboxNotice } from '../notices/notice.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

/**
 * Writes notices to people. One that was written before (same `event_id`) changes nothing, so a job that runs twice tells
 * once.
 *
 * Where a statement writes outbox rows of its own, notices may be among them: with their `event_id`, and ON CONFLICT DO NOTHING.
 *
 * @param writer  the transaction of the state change that is told of
 * @returns how many were new
 */
export async function writeNotices(
  writer: Transaction | Store['prisma'],
  notices: readonly (OutboxNotice & { readonly trace_id?: string | null })[],
): Promise<number> {
  if (notices.length === 0) return 0;
  return writer.$executeRaw`
    INSERT INTO outbox (event_id, channel, topic, key, payload, trace_id)
    SELECT x.event_id, x.channel, x.topic, x.key, x.payload, x.trace_id
    FROM jsonb_to_recordset(${JSON.stringify(notices)}::jsonb) AS x(event_id uuid, channel text, topic text, key text, payload jsonb, trace_id text)
    ON CONFLICT (event_id) WHERE channel = 'notice' DO NOTHING`;
}

/** A notice taken for delivery. */
export interface ClaimedNotice {
  readonly id: string;
  /** The same at every attempt: what makes a repeat count once. */
  readonly eventId: string;
  readonly topic: string;
  readonly userId: string;
  readonly payload: unknown;
  readonly traceId: string | null;
}

/**
 * Takes due notices for delivery. The attempt is counted here, so that a notice that kills its worker runs out of attempts
 * too. Whoever is not heard of again loses the claim when the lease is over.
 *
 * @param ids      outbox ids of a wake-up; those that are gone or not due are left out
 * @param leaseMs  above the longest delivery, ms
 * @returns in the order they were written
 * @throws STORE_UNAVAILABLE
 */
export async function claimNotices(store: Store, ids: readonly string[], leaseMs: number): Promise<readonly ClaimedNotice[]> {
  const rows = await translated(
    store.prisma.$queryRaw<ClaimedNotice[]>`
      UPDATE outbox SET attempts = attempts + 1, next_attempt_at = now() + ${leaseMs} * interval '1 millisecond'
      WHERE id IN (
        SELECT o.id FROM outbox o
        WHERE o.id = ANY (${ids}::text[]::bigint[]) AND o.channel = 'notice' AND o.status = 'pending' AND o.next_attempt_at <= now()
        ORDER BY o.id
        FOR UPDATE OF o SKIP LOCKED)
      RETURNING id::text AS "id", event_id::text AS "eventId", topic, key AS "userId", payload, trace_id AS "traceId"`,
  );
  return [...rows].sort((a, b) => Number(a.id) - Number(b.id));
}
