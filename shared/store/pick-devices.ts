import { Prisma } from '../../prisma/generated/client.ts';
import type { Shortage } from '../allocation/decide-shortage.ts';
import type { LockedDevice, PlacementClass } from '../allocation/plan-group.ts';
import { preferenceSteps } from '../placement/preference-steps.ts';
import type { Size } from '../quota/limits.ts';
import { FREE, fulfils, meetsSpecs, unreserved, withinCaps } from './device-filters.ts';
import type { Transaction } from './store.ts';

interface DeviceRow {
  id: string;
  name: string;
  status: string;
  fence: number;
  cpu_cores: number;
  memory_mb: number;
  storage_mb: number;
  resource_score: number;
  free_since_ms: number;
}

/** A device that was picked, and from when on a lease of it may start: the end of the one before may lie after our transaction's time. */
export interface PickedDevice extends LockedDevice {
  readonly freeSince: Date;
}

/**
 * Locks the best free devices for a class, best first, in the order of `rankDevices`: wishes, free capacity, id.
 * Devices another worker is deciding on are skipped, never waited for.
 *
 * @param count  most devices wanted
 * @param taken  devices this transaction has given out already
 * @returns up to `count` devices, locked until the transaction ends
 */
export async function pickDevices(
  tx: Transaction,
  wanted: PlacementClass,
  count: number,
  taken: readonly string[],
): Promise<PickedDevice[]> {
  const picked: PickedDevice[] = [];
  for (const step of preferenceSteps(wanted.preference)) {
    if (picked.length >= count) break;
    const not = [...taken, ...picked.map((device) => device.id)];
    // One value instead of a cell each: reading a result costs by the cell, and a group brings hundreds of devices.
    const [row] = await tx.$queryRaw<{ devices: DeviceRow[] | null }[]>`
      SELECT json_agg(best) AS devices FROM (
        SELECT d.id, d.name, d.status, d.fence, d.cpu_cores, d.memory_mb, d.storage_mb, d.resource_score,
          extract(epoch FROM greatest(date_trunc('milliseconds', statement_timestamp()), d.updated_at)) * 1000 AS free_since_ms
        FROM devices d
        WHERE ${FREE} AND ${meetsSpecs(wanted.requirement)} AND ${withinCaps(wanted.requirement)} AND ${unreserved(wanted.requirement)}
          AND ${fulfils(step, wanted.preference)} AND ${notIn(not)}
        ORDER BY d.resource_score DESC, d.id
        LIMIT ${count - picked.length}
        FOR UPDATE OF d SKIP LOCKED) best`;
    picked.push(...(row?.devices ?? []).map(toDevice));
  }
  return picked;
}

/**
 * Looks at the fleet for a class that found no device: how many are free but locked elsewhere, does one exist at all, and
 * which is the smallest? Three index probes.
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
    { free: number; exists: boolean; smallest: { cpu_cores: number; memory_mb: number; storage_mb: number } | null }[]
  >`
    SELECT
      (SELECT count(*)::int FROM (
        SELECT FROM devices d WHERE ${FREE} AND ${specs} AND ${caps} AND ${unreserved(requirement)} AND ${notIn(taken)} LIMIT ${unmet}::int) f) AS free,
      EXISTS (SELECT FROM devices d WHERE d.status <> 'deleted' AND ${specs} AND ${caps}) AS exists,
      (SELECT jsonb_build_object('cpu_cores', d.cpu_cores, 'memory_mb', d.memory_mb, 'storage_mb', d.storage_mb)
       FROM devices d WHERE d.status <> 'deleted' AND ${specs} ORDER BY d.cpu_cores, d.memory_mb, d.storage_mb LIMIT 1) AS smallest`;
  const smallest = row?.smallest ?? null;
  return {
    freeWithinCaps: row?.free ?? 0,
    existsWithinCaps: row?.exists ?? false,
    smallest: smallest === null ? null : toSize(smallest),
  };
}

function notIn(ids: readonly string[]): Prisma.Sql {
  return ids.length === 0 ? Prisma.sql`TRUE` : Prisma.sql`d.id <> ALL(${ids}::uuid[])`;
}

function toSize(row: { cpu_cores: number; memory_mb: number; storage_mb: number }): Size {
  return { cpuCores: row.cpu_cores, memoryMB: row.memory_mb, storageMB: row.storage_mb };
}

function toDevice(row: DeviceRow): PickedDevice {
  return {
    ...toSize(row),
    id: row.id,
    name: row.name,
    status: row.status,
    fence: row.fence,
    resourceScore: row.resource_score,
    freeSince: new Date(Math.round(row.free_since_ms)),
  };
}
