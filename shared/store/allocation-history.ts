import { Prisma } from '../../prisma/generated/client.ts';
import type { ReleaseFacts } from '../allocation/decide-release.ts';
import type { EndReason } from '../allocation/end-reason.ts';
import type { Tier } from '../allocation/tier.ts';
import { partsOf, type Reach, withinReach } from './reach.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

export const ALLOCATION_STATUSES = ['allocated', 'released', 'expired'] as const;
export type AllocationStatus = (typeof ALLOCATION_STATUSES)[number];

/** One line of the usage history. Times are instants of the database's clock. */
export interface AllocationRecord {
  readonly allocationId: string;
  readonly requestId: string;
  readonly deviceId: string;
  readonly deviceName: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: Tier;
  readonly status: AllocationStatus;
  readonly fence: number;
  readonly strategy: string;
  readonly durationMinutes: number;
  readonly extendCount: number;
  readonly allocatedAt: Date;
  readonly expiresAt: Date;
  readonly endedAt: Date | null;
  readonly endReason: EndReason | null;
  /** Whole seconds held so far, or in all once it has ended. */
  readonly durationSeconds: number;
  /** Whole seconds in the ledger; 0 while it lives. */
  readonly billedSeconds: number;
}

/** One piece of time that is owed to billing. */
export interface LedgerSegment {
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly durationSeconds: number;
  readonly endReason: EndReason;
  readonly status: 'owed' | 'settled' | 'dead';
  readonly attempts: number;
  readonly settledAt: Date | null;
}

/** An allocation with its ledger, and the way to the device while it is held. */
export interface AllocationWhole extends AllocationRecord {
  readonly adbHost: string | null;
  readonly adbPort: number | null;
  readonly ledger: readonly LedgerSegment[];
}

/** Which allocations to list. `from` and `to` bound the start: from inclusive, to exclusive. */
export interface HistoryFilter {
  readonly userId?: string | undefined;
  readonly status?: AllocationStatus | undefined;
  readonly deviceId?: string | undefined;
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
}

/** The last allocation of the page before. */
export interface HistoryPosition {
  readonly allocatedAt: Date;
  readonly allocationId: string;
}

/** Counting stops here: the exact number beyond it is not worth reading the whole history for. */
export const COUNT_LIMIT = 100_000;

/** Newest first. @param limit  most items of this page; one more is read to know whether there is a next one */
export async function listAllocations(
  store: Store,
  filter: HistoryFilter,
  reach: Reach,
  limit: number,
  after: HistoryPosition | undefined,
): Promise<{ items: AllocationRecord[]; more: boolean }> {
  const later =
    after === undefined
      ? Prisma.sql`true`
      : Prisma.sql`(a.allocated_at, a.id) < (${after.allocatedAt}::timestamptz, ${after.allocationId}::uuid)`;
  const newest = (where: Prisma.Sql) => Prisma.sql`
    (SELECT a.id, a.allocated_at FROM allocations a WHERE ${where} AND ${later} ORDER BY a.allocated_at DESC, a.id DESC LIMIT ${limit + 1}::int)`;
  const rows = await translated(
    store.prisma.$queryRaw<HistoryRow[]>`
      SELECT ${COLUMNS}
      FROM (SELECT id FROM (${eachOf(filter, reach, newest)}) AS found ORDER BY allocated_at DESC, id DESC LIMIT ${limit + 1}::int) AS page
      JOIN allocations a ON a.id = page.id LEFT JOIN ledger l ON l.allocation_id = a.id
      ORDER BY a.allocated_at DESC, a.id DESC`,
  );
  return { items: rows.slice(0, limit).map(toRecord), more: rows.length > limit };
}

/** How many allocations match, counted up to `COUNT_LIMIT`. */
export async function countAllocations(store: Store, filter: HistoryFilter, reach: Reach): Promise<number> {
  const some = (where: Prisma.Sql) => Prisma.sql`(SELECT 1 FROM allocations a WHERE ${where} LIMIT ${COUNT_LIMIT}::int)`;
  const rows = await translated(
    store.prisma.$queryRaw<{ total: number }[]>`
      SELECT least(count(*), ${COUNT_LIMIT}::int)::int AS total FROM (${eachOf(filter, reach, some)}) AS matching`,
  );
  return rows[0]?.total ?? 0;
}

/**
 * The newest allocations of each of many users, in one statement.
 *
 * @param activeOnly  only those that are held
 * @param eachAtMost  most allocations of one user
 */
export async function listAllocationsOfUsers(
  store: Store,
  userIds: readonly string[],
  reach: Reach,
  activeOnly: boolean,
  eachAtMost: number,
): Promise<AllocationRecord[]> {
  const live = activeOnly ? Prisma.sql`a.ended_at IS NULL` : Prisma.sql`true`;
  const rows = await translated(
    store.prisma.$queryRaw<HistoryRow[]>`
      SELECT newest.* FROM unnest(${[...new Set(userIds)]}::text[]) AS asked(user_id) CROSS JOIN LATERAL (
        SELECT ${COLUMNS} FROM allocations a LEFT JOIN ledger l ON l.allocation_id = a.id
        WHERE a.user_id = asked.user_id AND ${live} AND ${withinReach(reach, 'a')}
        ORDER BY a.allocated_at DESC, a.id DESC LIMIT ${eachAtMost}::int) newest`,
  );
  return rows.map(toRecord);
}

/** One allocation with its ledger, or nothing if there is none within reach. */
export async function readAllocation(store: Store, allocationId: string, reach: Reach): Promise<AllocationWhole | undefined> {
  const rows = await translated(
    store.prisma.$queryRaw<(HistoryRow & WholeRow)[]>`
      ${SELECT_WHOLE} WHERE a.id = ${allocationId}::uuid AND ${withinReach(reach, 'a')}`,
  );
  return rows[0] === undefined ? undefined : toWhole(rows[0]);
}

/**
 * The allocation that a release of a device is about, for `decideRelease`: the one that this release has ended before, else the
 * newest within reach, ended or not; or nothing if there is none.
 *
 * @param holder  whose allocation is meant; left out: anybody's within reach
 */
export async function readReleased(
  store: Store,
  deviceId: string,
  releaseId: string,
  reach: Reach,
  holder?: string,
): Promise<ReleaseFacts | undefined> {
  const ofHolder = holder === undefined ? Prisma.empty : Prisma.sql`AND a.user_id = ${holder}`;
  const ofDevice = Prisma.sql`SELECT a.id FROM allocations a WHERE a.device_id = ${deviceId}::uuid AND ${withinReach(reach, 'a')} ${ofHolder}`;
  const rows = await translated(
    store.prisma.$queryRaw<ReleasedRow[]>`
      SELECT a.id, a.user_id, a.tenant_id, l.duration_seconds, l.end_reason,
             CASE WHEN a.release_id = ${releaseId}::uuid THEN a.fence ELSE d.fence END AS current_fence
      FROM allocations a JOIN devices d ON d.id = a.device_id LEFT JOIN ledger l ON l.allocation_id = a.id
      WHERE a.id = coalesce((${ofDevice} AND a.release_id = ${releaseId}::uuid LIMIT 1), (${ofDevice} ORDER BY a.fence DESC LIMIT 1))`,
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const { duration_seconds: durationSeconds, end_reason: endReason } = row;
  return {
    allocationId: row.id,
    deviceId,
    userId: row.user_id,
    tenantId: row.tenant_id,
    currentFence: Number(row.current_fence),
    ended: durationSeconds === null || endReason === null ? null : { durationSeconds, endReason },
  };
}

interface ReleasedRow {
  id: string;
  user_id: string;
  tenant_id: string | null;
  current_fence: bigint;
  duration_seconds: number | null;
  end_reason: EndReason | null;
}

const COLUMNS = Prisma.sql`
  a.id, a.request_id, a.device_id, a.device_name, a.user_id, a.tenant_id, a.tier, a.status, a.fence, a.strategy, a.duration_minutes, a.extend_count,
  a.allocated_at, a.expires_at, a.ended_at, a.end_reason,
  floor(extract(epoch FROM coalesce(a.ended_at, greatest(now(), a.allocated_at)) - a.allocated_at))::int AS seconds,
  coalesce(l.duration_seconds, 0) AS billed`;

const SELECT_WHOLE = Prisma.sql`
  SELECT ${COLUMNS}, l.started_at AS ledger_started, l.ended_at AS ledger_ended, l.end_reason AS ledger_reason, l.status AS ledger_status,
         l.attempts AS ledger_attempts, l.settled_at AS ledger_settled, d.adb_host, d.adb_port
  FROM allocations a LEFT JOIN ledger l ON l.allocation_id = a.id LEFT JOIN devices d ON d.allocation_id = a.id AND d.id = a.device_id`;

interface HistoryRow {
  id: string;
  request_id: string;
  device_id: string;
  device_name: string;
  user_id: string;
  tenant_id: string | null;
  tier: Tier;
  status: AllocationStatus;
  fence: bigint;
  strategy: string;
  duration_minutes: number;
  extend_count: number;
  allocated_at: Date;
  expires_at: Date;
  ended_at: Date | null;
  end_reason: EndReason | null;
  seconds: number;
  billed: number;
}

interface WholeRow {
  adb_host: string | null;
  adb_port: number | null;
  ledger_started: Date | null;
  ledger_ended: Date | null;
  ledger_reason: EndReason | null;
  ledger_status: LedgerSegment['status'] | null;
  ledger_attempts: number | null;
  ledger_settled: Date | null;
}

function eachOf(filter: HistoryFilter, reach: Reach, select: (where: Prisma.Sql) => Prisma.Sql): Prisma.Sql {
  return Prisma.join(
    partsOf(reach, 'a').map((part) => select(matches(filter, part))),
    ' UNION ALL ',
  );
}

function matches(filter: HistoryFilter, part: Prisma.Sql): Prisma.Sql {
  const conditions = [part];
  if (filter.userId !== undefined) conditions.push(Prisma.sql`a.user_id = ${filter.userId}`);
  if (filter.status !== undefined) conditions.push(Prisma.sql`a.status = ${filter.status}`);
  if (filter.deviceId !== undefined) conditions.push(Prisma.sql`a.device_id = ${filter.deviceId}::uuid`);
  if (filter.from !== undefined) conditions.push(Prisma.sql`a.allocated_at >= ${filter.from}::timestamptz`);
  if (filter.to !== undefined) conditions.push(Prisma.sql`a.allocated_at < ${filter.to}::timestamptz`);
  return Prisma.join(conditions, ' AND ');
}

function toRecord(row: HistoryRow): AllocationRecord {
  return {
    allocationId: row.id,
    requestId: row.request_id,
    deviceId: row.device_id,
    deviceName: row.device_name,
    userId: row.user_id,
    tenantId: row.tenant_id,
    tier: row.tier,
    status: row.status,
    fence: Number(row.fence),
    strategy: row.strategy,
    durationMinutes: row.duration_minutes,
    extendCount: row.extend_count,
    allocatedAt: row.allocated_at,
    expiresAt: row.expires_at,
    endedAt: row.ended_at,
    endReason: row.end_reason,
    durationSeconds: row.seconds,
    billedSeconds: row.billed,
  };
}

function toWhole(row: HistoryRow & WholeRow): AllocationWhole {
  return { ...toRecord(row), adbHost: row.adb_host, adbPort: row.adb_port, ledger: toSegments(row) };
}

function toSegments(row: HistoryRow & WholeRow): LedgerSegment[] {
  const { ledger_started, ledger_ended, ledger_reason, ledger_status } = row;
  if (ledger_started === null || ledger_ended === null || ledger_reason === null || ledger_status === null) return [];
  return [
    {
      startedAt: ledger_started,
      endedAt: ledger_ended,
      durationSeconds: row.billed,
      endReason: ledger_reason,
      status: ledger_status,
      attempts: row.ledger_attempts ?? 0,
      settledAt: row.ledger_settled,
    },
  ];
}
