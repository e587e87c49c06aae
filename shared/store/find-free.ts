import { Prisma } from '../../prisma/generated/client.ts';
import { FREE } from './device-filters.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';
import { IN_CLASS } from './waiters.ts';

/** Free devices looked at for one class, and classes and tenants looked at, at most. */
const PER_CLASS = 50;
const MOST_CLASSES = 1_000;

const WAITING = Prisma.sql`r.status = 'waiting' AND r.parked IS NULL`;

/** Ids of free devices that the needs of `c` (needs, tenant, wanted) let it have; one walk of the index of a type. */
const FREE_FOR_CLASS = Prisma.sql`
  SELECT d.id FROM classes c CROSS JOIN unnest(CASE c.needs[1] WHEN 1 THEN ARRAY['phone'] WHEN 2 THEN ARRAY['tablet'] ELSE ARRAY['phone', 'tablet'] END) AS t(type)
  CROSS JOIN LATERAL (
    SELECT d.id FROM devices d
    WHERE ${FREE} AND d.type = t.type AND (d.tenant_id IS NULL OR d.tenant_id = c.tenant) AND d.cpu_cores BETWEEN c.needs[2] AND c.needs[5]
      AND d.memory_mb BETWEEN c.needs[3] AND c.needs[6] AND d.storage_mb BETWEEN c.needs[4] AND c.needs[7]
    ORDER BY d.resource_score DESC, d.id LIMIT ${PER_CLASS}::int) d
  WHERE c.wanted IS NULL
  UNION
  SELECT d.id FROM classes c JOIN devices d ON d.id = c.wanted WHERE ${FREE}`;

/** Free devices these waiting requests could use. @returns ids */
export async function findFreeFor(store: Store, requestIds: readonly string[]): Promise<string[]> {
  if (requestIds.length === 0) return [];
  const rows = await translated(
    store.prisma.$queryRaw<{ id: string }[]>`
      WITH classes AS MATERIALIZED (
        SELECT DISTINCT r.needs, r.tenant_id AS tenant, r.wanted_device AS wanted FROM requests r WHERE r.id = ANY(${requestIds}::uuid[]) AND ${WAITING})
      ${FREE_FOR_CLASS}`,
  );
  return rows.map(({ id }) => id);
}

/**
 * Free devices anybody who waits could use: by class, by tenants who own devices, by device. The cost is that of the
 * different needs, not of how many wait. @returns ids
 */
export async function findFree(store: Store): Promise<string[]> {
  const rows = await translated(
    store.prisma.$queryRaw<{ id: string }[]>`
      WITH RECURSIVE shared AS (
        (SELECT r.needs, 1 AS count FROM requests r WHERE ${IN_CLASS} ORDER BY r.needs LIMIT 1)
        UNION ALL
        SELECT next.needs, s.count + 1 FROM shared s CROSS JOIN LATERAL (
          SELECT r.needs FROM requests r WHERE ${IN_CLASS} AND r.needs > s.needs ORDER BY r.needs LIMIT 1) next WHERE s.count < ${MOST_CLASSES}
      ), tenants AS (
        (SELECT r.tenant_id AS tenant, 1 AS count FROM requests r WHERE ${IN_CLASS} AND r.tenant_id IS NOT NULL ORDER BY r.tenant_id LIMIT 1)
        UNION ALL
        SELECT next.tenant_id, t.count + 1 FROM tenants t CROSS JOIN LATERAL (
          SELECT r.tenant_id FROM requests r WHERE ${IN_CLASS} AND r.tenant_id > t.tenant ORDER BY r.tenant_id LIMIT 1) next WHERE t.count < ${MOST_CLASSES}
      ), wanted AS (
        (SELECT r.wanted_device AS device, 1 AS count FROM requests r WHERE ${WAITING} AND r.wanted_device IS NOT NULL ORDER BY r.wanted_device LIMIT 1)
        UNION ALL
        SELECT next.wanted_device, w.count + 1 FROM wanted w CROSS JOIN LATERAL (
          SELECT r.wanted_device FROM requests r WHERE ${WAITING} AND r.wanted_device > w.device ORDER BY r.wanted_device LIMIT 1) next WHERE w.count < ${MOST_CLASSES}
      ), classes AS (
        SELECT needs, NULL::text AS tenant, NULL::uuid AS wanted FROM shared UNION ALL SELECT ARRAY[0, 0, 0, 0, 0, 0, 0], NULL, device FROM wanted
      )
      ${FREE_FOR_CLASS}
      UNION
      SELECT d.id FROM tenants t CROSS JOIN LATERAL (SELECT d.id FROM devices d WHERE ${FREE} AND d.tenant_id = t.tenant LIMIT ${10 * PER_CLASS}::int) d`,
  );
  return rows.map(({ id }) => id);
}
