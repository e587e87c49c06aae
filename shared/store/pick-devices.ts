import { Prisma } from '../../prisma/generated/client.ts';
import type { Shortage } from '../allocation/decide-shortage.ts';
import type { LockedDevice, PlacementClass } from '../allocation/plan-group.ts';
import { type PreferenceStep, preferenceSteps } from '../placement/preference-steps.ts';
import type { Requirement } from '../placement/requirement.ts';
import type { StrategyType } from '../placement/strategy.ts';
import type { Size } from '../quota/limits.ts';
import { FREE, fulfils, meetsSpecs, unreserved, withinCaps } from './device-filters.ts';
import { PICK_ORDERS, PICKED } from './pick-order.ts';
import { pickSmallest } from './pick-smallest.ts';
import { chooseNodes, pickOnNodes, spreading } from './pick-spread.ts';
import type { Transaction } from './store.ts';

/** A device as it comes out of a statement. */
export interface PickedRow {
  id: string;
  name: string;
  status: string;
  fence: number;
  cpu_cores: number;
  memory_mb: number;
  storage_mb: number;
  resource_score: number;
  cost_per_hour: number | null;
  free_since_ms: number;
}

/** A device that was picked, and from when on a lease of it may start: the end of the one before may lie after our transaction's time. */
export interface PickedDevice extends LockedDevice {
  readonly freeSince: Date;
}

/**
 * Locks the best free devices for a class, best first, in the order of `placeDevices`: wishes, strategy, id.
 * Devices another worker is deciding on are skipped, never waited for.
 *
 * @param count  most devices wanted
 * @param taken  devices this transaction has given out already
 * @param strategy  in force; for `load_balancing` the transaction has called `awaitTurn` before
 * @returns up to `count` devices, locked until the transaction ends
 */
export async function pickDevices(
  tx: Transaction,
  wanted: PlacementClass,
  count: number,
  taken: readonly string[],
  strategy: StrategyType = 'resource_based',
): Promise<PickedDevice[]> {
  const picked: PickedDevice[] = [];
  for (const step of preferenceSteps(wanted.preference)) {
    if (picked.length >= count) break;
    const not = [...taken, ...picked.map((device) => device.id)];
    const meets = Prisma.sql`${meetsSpecs(wanted.requirement)} AND ${withinCaps(wanted.requirement)} AND ${unreserved(wanted.requirement)}`;
    picked.push(...(await pickStep(tx, { wanted, step, meets, not, strategy }, count - picked.length)));
  }
  return picked;
}

/** One step of the wishes: what passes, and what is given out already. */
interface Picking {
  readonly wanted: PlacementClass;
  readonly step: PreferenceStep;
  readonly meets: Prisma.Sql;
  readonly not: readonly string[];
  readonly strategy: StrategyType;
}

async function pickStep(tx: Transaction, picking: Picking, count: number): Promise<PickedDevice[]> {
  const { wanted, step, meets, not, strategy } = picking;
  if (strategy === 'resource_efficiency') return readDevices(tx, pickSmallest(wanted.requirement, passing(picking, not), count));
  if (strategy !== 'load_balancing') return readDevices(tx, walk(picking, not, count));
  const free = spreading(wanted.requirement, step, wanted.preference, Prisma.sql`${meets} AND ${notIn(not)}`);
  const chosen = await chooseNodes(tx, free, count, not);
  const spread = chosen.length === 0 ? [] : await readDevices(tx, pickOnNodes(free, chosen));
  if (chosen.length >= count) return spread;
  // Nodes that were not counted yet come last: they are new, or the strategy has just changed.
  const rest = walk(picking, [...not, ...spread.map(({ id }) => id)], count - spread.length);
  return [...spread, ...(await readDevices(tx, rest))];
}

/** A walk of the index of the strategy. */
function walk(picking: Picking, not: readonly string[], count: number): Prisma.Sql {
  // One value instead of a cell each: reading a result costs by the cell, and a group brings hundreds of devices.
  return Prisma.sql`
      SELECT json_agg(best) AS devices FROM (
        SELECT ${PICKED}
        FROM devices d
        WHERE ${passing(picking, not)}
        ORDER BY ${PICK_ORDERS[picking.strategy]}
        LIMIT ${count}
        FOR UPDATE OF d SKIP LOCKED) best`;
}

function passing({ wanted, step, meets }: Picking, not: readonly string[]): Prisma.Sql {
  return Prisma.sql`${FREE} AND ${meets} AND ${fulfils(step, wanted.preference)} AND ${notIn(not)}`;
}

async function readDevices(tx: Transaction, statement: Prisma.Sql): Promise<PickedDevice[]> {
  const [row] = await tx.$queryRaw<{ devices: PickedRow[] | null }[]>(statement);
  return (row?.devices ?? []).map(toPicked);
}

/**
 * Looks at the fleet for a class that found no device: how many are free but locked elsewhere, does one exist at all, and
 * which is the smallest? Three index probes. Where the balance limits the price: which is the cheapest, too.
 *
 * @param taken  devices this transaction has given out already
 * @param unmet  requests that found none: more devices than that are not counted
 */
export async function readShortage(
  tx: Transaction,
  { requirement }: PlacementClass,
  taken: readonly string[],
  unmet: number,
): Promise<Shortage> {
  const specs = meetsSpecs(requirement);
  const caps = withinCaps(requirement);
  const [row] = await tx.$queryRaw<
    {
      free: number;
      exists: boolean;
      smallest: { cpu_cores: number; memory_mb: number; storage_mb: number } | null;
      cheapest: number | null;
    }[]
  >`
    SELECT
      (SELECT count(*)::int FROM (
        SELECT FROM devices d WHERE ${FREE} AND ${specs} AND ${caps} AND ${unreserved(requirement)} AND ${notIn(taken)} LIMIT ${unmet}::int) f) AS free,
      EXISTS (SELECT FROM devices d WHERE d.status <> 'deleted' AND ${specs} AND ${caps}) AS exists,
      (SELECT jsonb_build_object('cpu_cores', d.cpu_cores, 'memory_mb', d.memory_mb, 'storage_mb', d.storage_mb)
       FROM devices d WHERE d.status <> 'deleted' AND ${specs} ORDER BY d.cpu_cores, d.memory_mb, d.storage_mb LIMIT 1) AS smallest,
      ${cheapest(requirement)} AS cheapest`;
  const smallest = row?.smallest ?? null;
  return {
    freeWithinCaps: row?.free ?? 0,
    existsWithinCaps: row?.exists ?? false,
    smallest: smallest === null ? null : toSize(smallest),
    ...(row?.cheapest == null ? {} : { cheapest: row.cheapest }),
  };
}

/** The least price within the quota, per hour; nothing where no price is a limit. Walks the devices that match. */
function cheapest({ maxCostPerHour, ...need }: Requirement): Prisma.Sql {
  if (maxCostPerHour === undefined) return Prisma.sql`NULL::float8`;
  return Prisma.sql`(SELECT min(coalesce(d.cost_per_hour, 0)) FROM devices d WHERE d.status <> 'deleted' AND ${meetsSpecs(need)} AND ${withinCaps(need)})`;
}

function notIn(ids: readonly string[]): Prisma.Sql {
  return ids.length === 0 ? Prisma.sql`TRUE` : Prisma.sql`d.id <> ALL(${ids}::uuid[])`;
}

function toSize(row: { cpu_cores: number; memory_mb: number; storage_mb: number }): Size {
  return { cpuCores: row.cpu_cores, memoryMB: row.memory_mb, storageMB: row.storage_mb };
}

/** The row as the plan of a group sees it. */
export function toPicked(row: PickedRow): PickedDevice {
  return {
    ...toSize(row),
    id: row.id,
    name: row.name,
    status: row.status,
    fence: row.fence,
    resourceScore: row.resource_score,
    costPerHour: row.cost_per_hour,
    freeSince: new Date(Math.round(row.free_since_ms)),
  };
}
