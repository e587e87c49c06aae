import { Prisma } from '../../prisma/generated/client.ts';
import { noticeOfEvent } from '../notices/notice-of-event.ts';
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
 * The notices of events that are not long over, as the INSERT of a statement. One that is there already stays as it is.
 *
 * However long the notification-service or RabbitMQ is away, notices are written and wait. Only of what nobody looked at for
 * a day, because no relay ran or there is a backlog from before, people are told nothing: it is yesterday's news by then.
 */
function insertNoticesOf(events: readonly Pick<PendingEvent, 'topic' | 'payload' | 'traceId' | 'createdAt'>[]): Prisma.Sql {
  const notices = events.flatMap(({ topic, payload, traceId: trace_id, createdAt: created_at }) => {
    const notice = noticeOfEvent(topic, payload);
    return notice === undefined ? [] : [{ ...notice, trace_id, created_at }];
  });
  return Prisma.sql`
    INSERT INTO outbox (event_id, channel, topic, key, payload, trace_id)
    SELECT x.event_id, x.channel, x.topic, x.key, x.payload, x.trace_id
    FROM jsonb_to_recordset(${JSON.stringify(notices)}::jsonb)
      AS x(event_id uuid, channel text, topic text, key text, payload jsonb, trace_id text, created_at timestamptz)
    WHERE x.created_at > now() - interval '1 day'
    ON CONFLICT (event_id) WHERE channel = 'notice' DO NOTHING`;
}

/**
 * Notes that events have left, and writes the notices they cause. Events somebody else has noted already are left alone.
 *
 * @throws STORE_UNAVAILABLE
 */
export async function settleEvents(store: Store, events: readonly PendingEvent[]): Promise<void> {
  const ids = events.map(({ id }) => id);
  await translated(
    store.prisma.$executeRaw`
      WITH told AS (${insertNoticesOf(events)})
      UPDATE outbox SET status = 'delivered', delivered_at = now(), last_error = NULL
      WHERE id = ANY (${ids}::text[]::bigint[]) AND status = 'pending'`,
  );
}

/** Where a walk along waiting events stands. */
export interface EventCursor {
  readonly dueAt: Date;
  readonly id: string;
}

/**
 * Writes the notices of events that cannot be published for the moment: people need not wait for what services do.
 * Publishing such an event later writes nothing twice.
 *
 * @param after  where the last look ended; undefined begins with the oldest
 * @returns where this one ended, and whether there is more; the cursor given when there was nothing
 * @throws STORE_UNAVAILABLE
 */
export async function tellOfWaitingEvents(
  store: Store,
  after: EventCursor | undefined,
  limit: number,
): Promise<{ readonly cursor: EventCursor | undefined; readonly more: boolean }> {
  const { dueAt, id } = after ?? { dueAt: new Date(0), id: '0' };
  const events = await translated(
    store.prisma.$queryRaw<(PendingEvent & { dueAt: Date })[]>`
      SELECT o.id::text AS "id", o.topic, o.payload, o.trace_id AS "traceId", o.created_at AS "createdAt", o.next_attempt_at AS "dueAt"
      FROM outbox o
      WHERE o.channel = 'event' AND o.status = 'pending' AND o.next_attempt_at <= now()
        AND (o.next_attempt_at, o.id) > (${dueAt}::timestamptz, ${id}::bigint)
      ORDER BY o.next_attempt_at, o.id
      LIMIT ${limit}`,
  );
  const last = events.at(-1);
  if (last === undefined) return { cursor: after, more: false };
  await translated(store.prisma.$executeRaw(insertNoticesOf(events)));
  return { cursor: { dueAt: last.dueAt, id: last.id }, more: events.length === limit };
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
 * kept, turning events on later would flood everyone with what is long over. People are told of them all the same.
 *
 * @returns how many were set aside, at most `limit`
 * @throws STORE_UNAVAILABLE
 */
export async function setAsideEvents(store: Store, limit: number): Promise<number> {
  return store.transaction(async (tx) => {
    const events = await tx.$queryRaw<PendingEvent[]>`
      UPDATE outbox SET status = 'delivered', delivered_at = now(), last_error = 'events are off'
      WHERE status = 'pending' AND id IN (SELECT id FROM outbox WHERE channel = 'event' AND status = 'pending' ORDER BY next_attempt_at, id LIMIT ${limit})
      RETURNING topic, payload, trace_id AS "traceId", created_at AS "createdAt"`;
    if (events.length > 0) await tx.$executeRaw(insertNoticesOf(events));
    return events.length;
  });
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
