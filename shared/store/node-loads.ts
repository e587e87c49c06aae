import { Prisma } from '../../prisma/generated/client.ts';
import type { NodeLoad } from '../placement/spread.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

/** The seat of a node that was seen by a grant before it was counted: after all others. */
const LAST_SEAT = 2_147_483_647;

/**
 * After `held` of a grant (with `node_id`, `region`, `provider_type`). Rows are locked in the order of their key, so that a
 * grant and an end that touch the same nodes never wait for each other in a ring.
 */
export const MORE_HELD = Prisma.sql`, loaded AS (
      INSERT INTO node_loads AS n (node_id, region, provider_type, held, seat)
      SELECT more.node_id, more.region, more.provider_type, more.devices, ${LAST_SEAT}::int FROM (
        SELECT coalesce(node_id, '') AS node_id, coalesce(region, '') AS region, provider_type, count(*)::int AS devices FROM held GROUP BY 1, 2, 3) more
      WHERE EXISTS (SELECT FROM node_loads)
      ORDER BY more.node_id, more.region, more.provider_type
      ON CONFLICT (node_id, region, provider_type) DO UPDATE SET held = n.held + excluded.held
    )`;

/**
 * After `freed` of an end, whatever the strategy: the table is empty unless loads are counted. Never below none: a count
 * that is off must not keep a device from being freed, and is put right by the next `countNodes`.
 */
export const FEWER_HELD = Prisma.sql`unloaded AS (
      UPDATE node_loads n SET held = greatest(n.held - fewer.devices, 0) FROM (
        SELECT l.node_id, l.region, l.provider_type, f.devices FROM (
          SELECT coalesce(node_id, '') AS node_id, coalesce(region, '') AS region, provider_type, count(*)::int AS devices FROM freed GROUP BY 1, 2, 3) f
        JOIN node_loads l ON l.node_id = f.node_id AND l.region = f.region AND l.provider_type = f.provider_type
        ORDER BY l.node_id, l.region, l.provider_type FOR UPDATE OF l) fewer
      WHERE n.node_id = fewer.node_id AND n.region = fewer.region AND n.provider_type = fewer.provider_type
    )`;

/**
 * Counts the held devices of every node from the rows of the fleet, and gives nodes their seats: first one of each region and
 * provider, then the second of each. Whoever holds or frees a device meanwhile waits before its commit, so the count is exact;
 * it reads the whole fleet, about a third of a second for a million devices.
 */
export async function countNodes(tx: Transaction): Promise<void> {
  await tx.$executeRaw`LOCK TABLE node_loads IN EXCLUSIVE MODE`;
  await tx.$executeRaw`
    WITH nodes AS (
      SELECT coalesce(node_id, '') AS node_id, coalesce(region, '') AS region, provider_type, count(allocation_id)::int AS held,
        max(cpu_cores) AS most_cpu, max(memory_mb) AS most_memory, max(storage_mb) AS most_storage
      FROM devices WHERE status <> 'deleted' GROUP BY 1, 2, 3
    ), lined AS (
      SELECT *, row_number() OVER (PARTITION BY region, provider_type ORDER BY node_id) AS line FROM nodes
    ), gone AS (
      DELETE FROM node_loads l WHERE NOT EXISTS (
        SELECT FROM nodes WHERE (nodes.node_id, nodes.region, nodes.provider_type) = (l.node_id, l.region, l.provider_type))
    )
    INSERT INTO node_loads AS l (node_id, region, provider_type, held, seat, most_cpu, most_memory, most_storage)
    SELECT node_id, region, provider_type, held, row_number() OVER (ORDER BY line, region, provider_type), most_cpu, most_memory, most_storage FROM lined
    ON CONFLICT (node_id, region, provider_type) DO UPDATE SET held = excluded.held, seat = excluded.seat,
      most_cpu = excluded.most_cpu, most_memory = excluded.most_memory, most_storage = excluded.most_storage
    WHERE (l.held, l.seat, l.most_cpu, l.most_memory, l.most_storage)
      IS DISTINCT FROM (excluded.held, excluded.seat, excluded.most_cpu, excluded.most_memory, excluded.most_storage)`;
}

/** Stops counting: nobody looks at the loads any more. */
export async function forgetNodes(tx: Transaction): Promise<void> {
  await tx.$executeRaw`DELETE FROM node_loads`;
}

/** The loads as they are counted. */
export async function readNodeLoads(store: Store): Promise<NodeLoad[]> {
  return translated(
    store.prisma.$queryRaw<NodeLoad[]>`SELECT node_id AS "nodeId", region, provider_type AS "providerType", held, seat FROM node_loads`,
  );
}
