import { Prisma } from '../../prisma/generated/client.ts';
import { type Reach, withinReach } from './reach.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** What a dead letter was: a bill, a report of use, a notice to a person, or an event. */
export const DEAD_LETTER_KINDS = ['billing', 'usage', 'notification', 'event'] as const;

export type DeadLetterKind = (typeof DEAD_LETTER_KINDS)[number];

/** A row that is not tried again until somebody says so. */
export interface DeadLetter {
  readonly id: string;
  readonly kind: DeadLetterKind;
  readonly allocationId: string | null;
  readonly userId: string | null;
  readonly attempts: number;
  /** What the last attempt was answered. */
  readonly lastError: string | null;
  /** What it is about: why an allocation is billed, which change of use, which notice or event. */
  readonly reason: string;
  /** When what it tells of happened. */
  readonly createdAt: Date;
}

/** Where a page ended. */
export interface DeadLetterPosition {
  readonly createdAt: Date;
  readonly id: string;
}

const UUID = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

/*
 * Rows of two tables as one list. Their number is that of what went wrong, so they are looked at as they are; `ledger_dead`
 * and `outbox_dead` hold nothing else.
 */
const DEAD = Prisma.sql`(
  SELECT l.allocation_id AS id, 'billing' AS kind, l.allocation_id, l.user_id, l.tenant_id, l.attempts, l.last_error, l.end_reason AS reason, l.ended_at AS created_at
  FROM ledger l WHERE l.status = 'dead'
  UNION ALL
  SELECT o.event_id, CASE o.channel WHEN 'notice' THEN 'notification' ELSE o.channel END, a.id, coalesce(a.user_id, o.payload ->> 'userId'),
    coalesce(a.tenant_id, o.payload ->> 'tenantId', u.tenant_id), o.attempts, o.last_error, o.topic, o.created_at
  FROM outbox o
  CROSS JOIN LATERAL (SELECT CASE WHEN o.channel = 'usage' THEN o.key ELSE coalesce(o.payload ->> 'allocationId', o.payload -> 'data' ->> 'allocationId') END AS said) about
  LEFT JOIN allocations a ON a.id = CASE WHEN about.said ~ ${UUID} THEN about.said::uuid END
  LEFT JOIN users u ON u.id = o.payload ->> 'userId'
  WHERE o.status = 'dead') AS d`;

/**
 * Dead letters, newest first.
 *
 * @param after  where the page before ended
 * @throws STORE_UNAVAILABLE
 */
export async function listDeadLetters(
  store: Store,
  kind: DeadLetterKind | undefined,
  reach: Reach,
  limit: number,
  after: DeadLetterPosition | undefined,
): Promise<{ readonly items: readonly DeadLetter[]; readonly total: number; readonly more: boolean }> {
  const older =
    after === undefined ? Prisma.sql`true` : Prisma.sql`(d.created_at, d.id) < (${after.createdAt}::timestamptz, ${after.id}::uuid)`;
  const [rows, [counted]] = await translated(
    Promise.all([
      store.prisma.$queryRaw<DeadLetter[]>`
        SELECT d.id::text AS "id", d.kind, d.allocation_id::text AS "allocationId", d.user_id AS "userId", d.attempts, d.last_error AS "lastError",
          d.reason, d.created_at AS "createdAt"
        FROM ${DEAD} WHERE ${matches(kind, reach)} AND ${older} ORDER BY d.created_at DESC, d.id DESC LIMIT ${limit + 1}`,
      store.prisma.$queryRaw<{ total: number }[]>`SELECT count(*)::int AS total FROM ${DEAD} WHERE ${matches(kind, reach)}`,
    ]),
  );
  return { items: rows.slice(0, limit), total: counted?.total ?? 0, more: rows.length > limit };
}

function matches(kind: DeadLetterKind | undefined, reach: Reach): Prisma.Sql {
  const ofKind = kind === undefined ? Prisma.sql`true` : Prisma.sql`d.kind = ${kind}`;
  return Prisma.sql`${ofKind} AND ${withinReach(reach, 'd')}`;
}

/** Which dead letters: one by its id, or the oldest ones. */
export type WhichDeadLetters = { readonly id: string } | { readonly kind: DeadLetterKind | undefined; readonly limit: number };

/**
 * Lets dead letters be tried again, with all their attempts, as soon as the relay looks.
 *
 * @returns those that are alive again, oldest first
 * @throws STORE_UNAVAILABLE
 */
export async function retryDeadLetters(
  store: Store,
  which: WhichDeadLetters,
  reach: Reach,
): Promise<readonly { readonly id: string; readonly kind: DeadLetterKind }[]> {
  const chosen = 'id' in which ? Prisma.sql`d.id = ${which.id}::uuid AND ${matches(undefined, reach)}` : matches(which.kind, reach);
  return translated(
    store.prisma.$queryRaw<{ id: string; kind: DeadLetterKind }[]>`
      WITH chosen AS MATERIALIZED (
        SELECT d.id, d.kind, d.created_at FROM ${DEAD} WHERE ${chosen} ORDER BY d.created_at, d.id LIMIT ${'id' in which ? 1 : which.limit}
      ), bills AS (
        UPDATE ledger l SET status = 'owed', attempts = 0, next_attempt_at = now(), handed_out_at = NULL
        FROM chosen c WHERE c.kind = 'billing' AND l.allocation_id = c.id AND l.status = 'dead' RETURNING l.allocation_id AS id
      ), rows AS (
        UPDATE outbox o SET status = 'pending', attempts = 0, next_attempt_at = now(), handed_out_at = NULL
        FROM chosen c WHERE c.kind <> 'billing' AND o.event_id = c.id AND o.status = 'dead' RETURNING o.event_id AS id
      )
      SELECT c.id::text AS "id", c.kind FROM chosen c JOIN (SELECT id FROM bills UNION ALL SELECT id FROM rows) revived ON revived.id = c.id
      ORDER BY c.created_at, c.id`,
  );
}
