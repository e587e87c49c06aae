import { Prisma } from '../../prisma/generated/client.ts';
import type { UserFacts } from '../allocation/facts.ts';
import type { Tier } from '../allocation/tier.ts';
import type { ExtendFacts } from '../renewal/decide-extend.ts';
import type { ExtendGroupFacts, Extension } from '../renewal/plan-extends.ts';
import { BY_INDEX } from './by-index.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

/** An allocation to look at, and the extension of it that may have been written before. */
export interface NamedExtension {
  readonly allocationId: string;
  readonly extensionId: string | null;
}

interface FactsRow {
  now: Date;
  id: string;
  device_id: string;
  user_id: string;
  tenant_id: string | null;
  tier: Tier;
  fence: bigint;
  live: boolean;
  duration_minutes: number;
  expires_at: Date;
  extend_count: number;
  last_extended_at: Date | null;
  latest_end: Date | null;
  state: UserFacts['state'] | null;
  in_arrears: boolean;
  extension_id: string | null;
  extension: ExtensionCells | null;
  cost_per_hour: number | null;
  committed: number | null;
}

/** A row of `extensions` as JSON. */
interface ExtensionCells {
  extend_count: number;
  minutes: number;
  total_minutes: number;
  old_expires_at: string;
  new_expires_at: string;
  automatic: boolean;
  balance_unchecked: boolean;
  reason: string | null;
  extended_by: string;
}

/**
 * Locks live allocations with their devices, each pair in the order of the allocations' ids, as everybody does who ends
 * them. The device is locked too, because who reserves it locks it and then looks until when it is held: of an extension
 * and a reservation of the same time the second one sees the first.
 *
 * @param skip  leave out what somebody else is working on, instead of waiting for it
 * @returns ids of what was locked
 */
export async function lockForExtension(tx: Transaction, allocationIds: readonly string[], skip: boolean): Promise<string[]> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT a.id FROM ${BY_INDEX}, unnest(${[...new Set(allocationIds)]}::uuid[]) AS asked(id)
    JOIN allocations a ON a.id = asked.id JOIN devices d ON d.id = a.device_id
    WHERE a.status = 'allocated' ORDER BY a.id FOR NO KEY UPDATE OF a, d ${skip ? Prisma.sql`SKIP LOCKED` : Prisma.empty}`;
  return rows.map(({ id }) => id);
}

/**
 * Locks the users of allocations in the order of their ids, as grants do: of two who would spend the same money the second sees what
 * the first has committed. To be called before the allocations are locked, as everybody does who needs both.
 */
export async function lockUsersOf(tx: Transaction, allocationIds: readonly string[]): Promise<void> {
  await tx.$queryRaw`
    SELECT count(*) FROM (
      SELECT u.id FROM users u WHERE u.id IN (SELECT a.user_id FROM allocations a WHERE a.id = ANY (${[...new Set(allocationIds)]}::uuid[]))
      ORDER BY u.id FOR NO KEY UPDATE) locked`;
}

/**
 * Reads what extensions are decided by: one look-up by id an allocation, one by device for the next reservation. Under
 * `lockForExtension` as a statement of its own, so that its snapshot is younger than the locks; and so is its time, since
 * the transaction may have begun before an extension it waited for.
 *
 * @param priced  also what the device costs, and the terms of all its user holds
 */
export async function readExtendFacts(
  db: Pick<Transaction, '$queryRaw'>,
  named: readonly NamedExtension[],
  priced = false,
): Promise<Omit<ExtendGroupFacts, 'wanted'>> {
  const asked = named.map(({ allocationId, extensionId }) => ({ allocation_id: allocationId, extension_id: extensionId }));
  const rows = await db.$queryRaw<FactsRow[]>`
    SELECT date_trunc('milliseconds', statement_timestamp()) AS now, a.id, a.device_id, a.user_id, a.tenant_id, a.tier, a.fence, a.duration_minutes,
      a.expires_at, a.extend_count, a.last_extended_at, a.status = 'allocated' AND a.expires_at > statement_timestamp() AS live,
      (SELECT min(r.starts_at - (r.blocked_until - r.ends_at)) FROM reservations r WHERE r.device_id = a.device_id AND r.status IN ('pending', 'confirmed')
         AND tstzrange(r.starts_at, r.blocked_until) && tstzrange(now(), NULL)) AS latest_end,
      u.state, u.arrears_since IS NOT NULL AS in_arrears,
      e.id AS extension_id, to_jsonb(e) AS extension, ${priced ? PRICES : NO_PRICES}
    FROM jsonb_to_recordset(${JSON.stringify(asked)}::jsonb) AS x(allocation_id uuid, extension_id uuid)
    CROSS JOIN ${BY_INDEX}
    JOIN allocations a ON a.id = x.allocation_id
    LEFT JOIN users u ON u.id = a.user_id
    LEFT JOIN extensions e ON e.id = x.extension_id`;
  return {
    now: rows[0]?.now ?? new Date(0),
    allocations: new Map(rows.map((row) => [row.id, toFacts(row)])),
    done: new Map(
      rows.flatMap((row) =>
        row.extension === null || row.extension_id === null ? [] : [[row.extension_id, toExtension(row, row.extension)]],
      ),
    ),
  };
}

const NO_PRICES = Prisma.sql`NULL::float8 AS cost_per_hour, NULL::float8 AS committed`;

const PRICES = Prisma.sql`(SELECT d.cost_per_hour FROM devices d WHERE d.id = a.device_id) AS cost_per_hour,
      (SELECT sum((SELECT d.cost_per_hour FROM devices d WHERE d.id = h.device_id) * h.duration_minutes / 60)
         FROM allocations h WHERE h.ended_at IS NULL AND h.user_id = a.user_id) AS committed`;

/**
 * The same facts without a lock, and without looking who waits: enough to refuse, or to tell how it stands; to extend they are read again.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function lookAtExtensions(store: Store, named: readonly NamedExtension[]): Promise<ExtendGroupFacts> {
  return { ...(await translated(readExtendFacts(store.prisma, named))), wanted: new Set() };
}

function toFacts(row: FactsRow): ExtendFacts {
  return {
    allocationId: row.id,
    deviceId: row.device_id,
    userId: row.user_id,
    tenantId: row.tenant_id,
    tier: row.tier,
    fence: Number(row.fence),
    live: row.live,
    durationMinutes: row.duration_minutes,
    expiresAt: row.expires_at,
    extendCount: row.extend_count,
    lastExtendedAt: row.last_extended_at,
    latestEnd: row.latest_end,
    user: { state: row.state ?? 'active', inArrears: row.in_arrears },
    ...(row.cost_per_hour === null ? {} : { costPerHour: row.cost_per_hour, committed: row.committed ?? 0 }),
  };
}

function toExtension(row: FactsRow, cells: ExtensionCells): Omit<Extension, 'remainingExtends'> {
  return {
    extensionId: row.extension_id ?? '',
    allocationId: row.id,
    oldExpiresAt: new Date(cells.old_expires_at),
    newExpiresAt: new Date(cells.new_expires_at),
    additionalMinutes: cells.minutes,
    extendCount: cells.extend_count,
    totalDurationMinutes: cells.total_minutes,
    automatic: cells.automatic,
    balanceUnchecked: cells.balance_unchecked,
    reason: cells.reason,
    by: cells.extended_by,
  };
}
