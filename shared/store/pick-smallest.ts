import { Prisma } from '../../prisma/generated/client.ts';
import type { Requirement } from '../placement/requirement.ts';
import { FREE } from './device-filters.ts';
import { PICK_ORDERS, PICKED } from './pick-order.ts';

/**
 * The smallest free devices that pass, by cores, memory, storage, id.
 *
 * Small devices that do not suffice may be most of the fleet, and a plain walk would pass them all. So it hops from one
 * kind (cores and memory) to the next, a look-up each, and walks only kinds that are large enough: a fleet has tens of them.
 *
 * @param passes  every condition a device must meet
 */
export function pickSmallest({ minCpu, minMemoryMB, deviceType, caps }: Requirement, passes: Prisma.Sql, count: number): Prisma.Sql {
  const ofType = deviceType === null ? Prisma.empty : Prisma.sql`AND d.type = ${deviceType}`;
  const memoryCap = caps.memoryMB === Infinity ? Prisma.empty : Prisma.sql`AND memory_mb <= ${caps.memoryMB}`;
  const cpuCap = caps.cpuCores === Infinity ? Prisma.empty : Prisma.sql`AND d.cpu_cores <= ${caps.cpuCores}`;
  return Prisma.sql`
    WITH RECURSIVE kinds AS (
      (SELECT d.cpu_cores, d.memory_mb FROM devices d WHERE ${FREE} ${ofType} AND d.cpu_cores >= ${minCpu}::int ${cpuCap}
       ORDER BY d.cpu_cores, d.memory_mb LIMIT 1)
      UNION ALL
      SELECT next.cpu_cores, next.memory_mb FROM kinds CROSS JOIN LATERAL (
        SELECT d.cpu_cores, d.memory_mb FROM devices d
        WHERE ${FREE} ${ofType} AND (d.cpu_cores, d.memory_mb) > (kinds.cpu_cores, kinds.memory_mb) ${cpuCap}
        ORDER BY d.cpu_cores, d.memory_mb LIMIT 1) next
    )
    SELECT json_agg(best) AS devices FROM (
      SELECT of_kind.* FROM (SELECT * FROM kinds WHERE memory_mb >= ${minMemoryMB}::int ${memoryCap}) kind CROSS JOIN LATERAL (
        SELECT ${PICKED} FROM devices d WHERE d.cpu_cores = kind.cpu_cores AND d.memory_mb = kind.memory_mb AND ${passes}
        ORDER BY ${PICK_ORDERS.resource_efficiency} LIMIT ${count} FOR UPDATE OF d SKIP LOCKED) of_kind
      LIMIT ${count}) best`;
}
