import { Prisma } from '../../prisma/generated/client.ts';
import type { Tier } from '../allocation/tier.ts';
import { type Reach, withinReach } from './reach.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** The states of an entry, by the platform's names. */
export const ENTRY_STATUSES = ['waiting', 'processing', 'fulfilled', 'expired', 'cancelled'] as const;
export type EntryStatus = (typeof ENTRY_STATUSES)[number];

/** Which states of a request are which of an entry. A refused one has left the queue without a device. */
const STATES: Readonly<Record<EntryStatus, readonly string[]>> = {
  waiting: ['waiting'],
  processing: ['pending'],
  fulfilled: ['granted'],
  expired: ['timed_out'],
  cancelled: ['cancelled', 'refused'],
};

/** An entry of the queue: a request that waits or has waited. */
export interface QueueEntry {
  readonly id: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: Tier;
  readonly state: string;
  readonly maxWaitMinutes: number | null;
  readonly durationMinutes: number | null;
  readonly deviceType: string | null;
  readonly deviceId: string | null;
  readonly allocationId: string | null;
  readonly code: string | null;
  readonly reason: string | null;
  readonly retryCount: number;
  readonly createdAt: Date;
  readonly waitingSince: Date;
  readonly deadline: Date | null;
  readonly decidedAt: Date | null;
}

export interface EntryFilter {
  readonly userId?: string | undefined;
  readonly status?: EntryStatus | undefined;
  readonly deviceType?: 'phone' | 'tablet' | undefined;
}

/** Where a page begins: after the last one of the page before, or so many further on. */
export type EntryPage = { readonly after: { readonly createdAt: Date; readonly id: string } | undefined } | { readonly skip: number };

/** Counting stops here. */
export const ENTRY_COUNT_LIMIT = 100_000;

/** Words that nobody can read are no reason not to show the entry. */
const minutes = (field: string) =>
  Prisma.sql`CASE WHEN jsonb_typeof(r.asked -> ${field}) = 'number' THEN (r.asked ->> ${field})::numeric::int END`;

const COLUMNS = Prisma.sql`r.id, r.user_id AS "userId", r.tenant_id AS "tenantId", r.tier, r.status AS state, ${minutes('maxWaitMinutes')} AS "maxWaitMinutes",
  ${minutes('durationMinutes')} AS "durationMinutes", (ARRAY['phone', 'tablet'])[r.needs[1]] AS "deviceType", a.device_id AS "deviceId",
  r.allocation_id AS "allocationId", r.code, r.details ->> 'reason' AS reason, r.retry_count AS "retryCount", r.created_at AS "createdAt",
  r.waiting_since AS "waitingSince", r.deadline, r.decided_at AS "decidedAt"`;

/** One entry; nothing if there is none within reach. */
export async function readEntry(store: Store, id: string, reach: Reach): Promise<QueueEntry | undefined> {
  const rows = await translated(
    store.prisma.$queryRaw<QueueEntry[]>`
      SELECT ${COLUMNS} FROM requests r LEFT JOIN allocations a ON a.id = r.allocation_id
      WHERE r.id = ${id}::uuid AND r.rank_at IS NOT NULL AND ${withinReach(reach, 'r')}`,
  );
  return rows[0];
}

/** Newest first. @param limit  most items of this page; one more is read to know whether there is a next one */
export async function listEntries(
  store: Store,
  filter: EntryFilter,
  reach: Reach,
  limit: number,
  page: EntryPage,
): Promise<{ items: QueueEntry[]; more: boolean }> {
  const after = 'after' in page ? page.after : undefined;
  const earlier =
    after === undefined ? Prisma.sql`true` : Prisma.sql`(r.created_at, r.id) < (${after.createdAt}::timestamptz, ${after.id}::uuid)`;
  const skip = 'skip' in page ? Prisma.sql`OFFSET ${page.skip}::int` : Prisma.empty;
  const rows = await translated(
    store.prisma.$queryRaw<QueueEntry[]>`
      SELECT ${COLUMNS} FROM (
        SELECT * FROM requests r WHERE ${matches(filter, reach)} AND ${earlier} ORDER BY r.created_at DESC, r.id DESC LIMIT ${limit + 1}::int ${skip}) r
      LEFT JOIN allocations a ON a.id = r.allocation_id ORDER BY r.created_at DESC, r.id DESC`,
  );
  return { items: rows.slice(0, limit), more: rows.length > limit };
}

/** How many match, counted up to `ENTRY_COUNT_LIMIT`. */
export async function countEntries(store: Store, filter: EntryFilter, reach: Reach): Promise<number> {
  const rows = await translated(
    store.prisma.$queryRaw<{ total: number }[]>`
      SELECT count(*)::int AS total FROM (SELECT 1 FROM requests r WHERE ${matches(filter, reach)} LIMIT ${ENTRY_COUNT_LIMIT}::int) AS matching`,
  );
  return rows[0]?.total ?? 0;
}

/** Counts of the queue. Waits in s, of those served in the last 24 hours. */
export interface QueueStats {
  readonly waiting: number;
  readonly parked: number;
  readonly byTier: Readonly<Record<string, number>>;
  readonly fulfilled: number;
  readonly expired: number;
  readonly cancelled: number;
  readonly waitP50Seconds: number | null;
  readonly waitP95Seconds: number | null;
}

/** What waits now, and what became of those who came within the last day, of what the caller may see. */
export async function readQueueStats(store: Store, reach: Reach): Promise<QueueStats> {
  const [row] = await translated(
    store.prisma.$queryRaw<(Omit<QueueStats, 'byTier'> & { byTier: Record<string, number> | null })[]>`
      WITH waiting AS (SELECT r.tier, r.parked FROM requests r WHERE r.status = 'waiting' AND ${withinReach(reach, 'r')}),
      lately AS (
        SELECT r.status, extract(epoch FROM r.decided_at - r.waiting_since) AS waited FROM requests r
        WHERE r.rank_at IS NOT NULL AND r.created_at > now() - interval '1 day' AND ${withinReach(reach, 'r')})
      SELECT (SELECT count(*)::int FROM waiting) AS waiting, (SELECT count(*)::int FROM waiting WHERE parked IS NOT NULL) AS parked,
        (SELECT json_object_agg(tier, n) FROM (SELECT tier, count(*)::int AS n FROM waiting GROUP BY tier) t) AS "byTier",
        count(*) FILTER (WHERE status = 'granted')::int AS fulfilled, count(*) FILTER (WHERE status = 'timed_out')::int AS expired,
        count(*) FILTER (WHERE status IN ('cancelled', 'refused'))::int AS cancelled,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) FILTER (WHERE status = 'granted') AS "waitP50Seconds",
        percentile_cont(0.95) WITHIN GROUP (ORDER BY waited) FILTER (WHERE status = 'granted') AS "waitP95Seconds"
      FROM lately`,
  );
  if (row === undefined) throw new Error('an aggregate returned no row');
  return { ...row, byTier: row.byTier ?? {} };
}

/** The state of an entry that a request in this state is. */
export function entryStatusOf(state: string): EntryStatus {
  return ENTRY_STATUSES.find((status) => STATES[status].includes(state)) ?? 'processing';
}

function matches({ userId, status, deviceType }: EntryFilter, reach: Reach): Prisma.Sql {
  const conditions = [Prisma.sql`r.rank_at IS NOT NULL`, withinReach(reach, 'r')];
  if (userId !== undefined) conditions.push(Prisma.sql`r.user_id = ${userId}`);
  if (status !== undefined) conditions.push(Prisma.sql`r.status = ANY(${[...STATES[status]]}::text[])`);
  if (deviceType !== undefined) conditions.push(Prisma.sql`r.needs[1] = ${deviceType === 'phone' ? 1 : 2}`);
  return Prisma.join(conditions, ' AND ');
}
