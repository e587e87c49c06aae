import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** An event waiting to be published. */
export interface PendingEvent {
  readonly id: string;
  readonly eventId: string;
  readonly topic: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly traceId: string | null;
  readonly createdAt: Date;
}

/**
 * The events that may be published now, oldest first: due, and the first of their key that is not delivered. At most one
 * a key, so whatever becomes of one event, no later one of its allocation has overtaken it.
 *
 * The walk is along the due rows, with one look at the key's index for each: a backlog costs no more than `limit` asks for.
 *
 * @throws STORE_UNAVAILABLE
 */
export async function readDueEvents(store: Store, limit: number): Promise<readonly PendingEvent[]> {
  return translated(
    store.prisma.$queryRaw<PendingEvent[]>`
      SELECT o.id::text AS "id", o.event_id::text AS "eventId", o.topic, o.payload, o.trace_id AS "traceId", o.created_at AS "createdAt"
      FROM outbox o
      WHERE o.channel = 'event' AND o.status = 'pending' AND o.next_attempt_at <= now()
        AND NOT EXISTS (
          SELECT FROM outbox earlier
          WHERE earlier.channel = 'event' AND earlier.key = o.key AND earlier.id < o.id AND earlier.status <> 'delivered')
      ORDER BY o.next_attempt_at, o.id
      LIMIT ${limit}`,
  );
}

/**
 * Notes that rows have left. Rows somebody else has noted already are left alone.
 *
 * @returns how many rows changed
 * @throws STORE_UNAVAILABLE
 */
export async function markDelivered(store: Store, ids: readonly string[]): Promise<number> {
  return translated(
    store.prisma.$executeRaw`
      UPDATE outbox SET status = 'delivered', delivered_at = now(), last_error = NULL
      WHERE id = ANY (${ids}::text[]::bigint[]) AND status = 'pending'`,
  );
}

/** A row that could not leave, and why. */
export interface FailedRow {
  readonly id: string;
  readonly reason: string;
}

/**
 * Notes that rows were refused. Each is tried again after a pause that doubles with its attempts, half of it random.
 *
 * @param pause  first and longest pause, ms
 * @returns how many rows changed
 * @throws STORE_UNAVAILABLE
 */
export async function recordFailures(
  store: Store,
  failures: readonly FailedRow[],
  pause: { readonly baseMs: number; readonly maxMs: number },
): Promise<number> {
  const ids = failures.map(({ id }) => id);
  const reasons = failures.map(({ reason }) => reason.slice(0, 1_000));
  return translated(
    store.prisma.$executeRaw`
      UPDATE outbox o SET attempts = o.attempts + 1, last_error = f.reason,
        next_attempt_at = now() + least(${pause.maxMs}, ${pause.baseMs} * 2 ^ least(o.attempts, 30)) * (0.5 + random() / 2) * interval '1 millisecond'
      FROM unnest(${ids}::text[], ${reasons}::text[]) AS f (id, reason)
      WHERE o.id = f.id::bigint AND o.status = 'pending'`,
  );
}

/**
 * Sets events aside unpublished, for a platform that runs without a broker: nobody will ever ask for them, and were they
 * kept, turning events on later would flood everyone with what is long over.
 *
 * @returns how many were set aside, at most `limit`
 * @throws STORE_UNAVAILABLE
 */
export async function setAsideEvents(store: Store, limit: number): Promise<number> {
  return translated(
    store.prisma.$executeRaw`
      UPDATE outbox SET status = 'delivered', delivered_at = now(), last_error = 'events are off'
      WHERE status = 'pending' AND id IN (SELECT id FROM outbox WHERE channel = 'event' AND status = 'pending' ORDER BY next_attempt_at, id LIMIT ${limit})`,
  );
}

/**
 * Rows still to be delivered, by channel; channels without any are not in it.
 *
 * @throws STORE_UNAVAILABLE
 */
export async function countPending(store: Store): Promise<ReadonlyMap<string, number>> {
  const rows = await translated(
    store.prisma.$queryRaw<{ channel: string; count: number }[]>`
      SELECT channel, count(*)::int AS count FROM outbox WHERE status = 'pending' GROUP BY channel`,
  );
  return new Map(rows.map(({ channel, count }) => [channel, count]));
}
