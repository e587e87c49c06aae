import { Prisma } from '../../prisma/generated/client.ts';
import type { Requirement } from '../placement/requirement.ts';

/** `FREE` as the index `devices_bookable_by_size` says it, word for word. */
const FREE_NOW = Prisma.sql`(CASE WHEN d.status = 'running' AND d.allocation_id IS NULL AND NOT d.draining AND d.cleaning_until IS NULL THEN 1 ELSE 0 END) = 1`;

const SIZE = Prisma.sql`d.cpu_cores, d.memory_mb, d.storage_mb, d.type`;

/**
 * The first free device that passes, of the smallest size there is: by cores, memory, storage.
 *
 * Free devices that are too small may be most of the fleet, and a walk over them costs 160 ms at a million. So it hops from one size to
 * the next, a look-up each, and looks only into those that suffice: a fleet has tens of sizes.
 *
 * @param passes  every condition a device must meet, besides being free
 * @param lock    ends the statement that finds a device: whether its row is locked
 */
export function walkSizes(
  { minCpu, minMemoryMB, minStorageMB, deviceType, caps }: Requirement,
  passes: Prisma.Sql,
  lock: Prisma.Sql,
): Prisma.Sql {
  const cpuCap = caps.cpuCores === Infinity ? Prisma.empty : Prisma.sql`AND d.cpu_cores <= ${caps.cpuCores}`;
  const ofType = deviceType === null ? Prisma.empty : Prisma.sql`AND type = ${deviceType}`;
  return Prisma.sql`
    WITH RECURSIVE sizes AS (
      (SELECT ${SIZE} FROM devices d WHERE ${FREE_NOW} AND d.cpu_cores >= ${minCpu}::int ${cpuCap} ORDER BY ${SIZE} LIMIT 1)
      UNION ALL
      SELECT next.* FROM sizes s CROSS JOIN LATERAL (
        SELECT ${SIZE} FROM devices d WHERE ${FREE_NOW} ${cpuCap}
          AND (${SIZE}) > (s.cpu_cores, s.memory_mb, s.storage_mb, s.type) ORDER BY ${SIZE} LIMIT 1) next
    )
    SELECT found.id FROM (SELECT * FROM sizes WHERE memory_mb >= ${minMemoryMB}::int AND storage_mb >= ${minStorageMB}::int ${ofType}) s CROSS JOIN LATERAL (
      SELECT d.id FROM devices d WHERE ${FREE_NOW} AND d.cpu_cores = s.cpu_cores AND d.memory_mb = s.memory_mb AND d.storage_mb = s.storage_mb
        AND d.type = s.type AND ${passes} LIMIT 1 ${lock}) found
    LIMIT 1`;
}
