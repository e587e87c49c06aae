import { Prisma } from '../../prisma/generated/client.ts';
import { type Filling, fillNodes, type NodeLoad } from '../placement/spread.ts';
import { FREE } from './device-filters.ts';
import { PICK_ORDERS, PICKED } from './pick-order.ts';
import type { Transaction } from './store.ts';

/** A node that has matching devices free, with what this transaction has taken from it already counted as held. */
type Choice = NodeLoad & { readonly free: number };

const ON_NODE = Prisma.sql`coalesce(d.node_id, '') = n.node_id AND coalesce(d.region, '') = n.region AND d.provider_type = n.provider_type`;

/**
 * Which nodes the next devices come from: the least loaded ones that have one free, looked up in the order of their load.
 *
 * @param passes  every condition a device must meet, besides being free
 * @param taken  devices this transaction has given out already
 */
export async function chooseNodes(
  tx: Transaction,
  passes: Prisma.Sql,
  count: number,
  taken: readonly string[],
): Promise<Filling<Choice>[]> {
  const [row] = await tx.$queryRaw<{ nodes: Choice[] | null }[]>`
    SELECT json_agg(chosen) AS nodes FROM (
      SELECT n.node_id AS "nodeId", n.region, n.provider_type AS "providerType", n.seat, n.held + coalesce(mine.devices, 0) AS held, have.free
      FROM node_loads n
      LEFT JOIN (
        SELECT coalesce(node_id, '') AS node_id, coalesce(region, '') AS region, provider_type, count(*)::int AS devices
        FROM devices WHERE id = ANY(${taken}::uuid[]) GROUP BY 1, 2, 3
      ) mine ON mine.node_id = n.node_id AND mine.region = n.region AND mine.provider_type = n.provider_type
      CROSS JOIN LATERAL (
        SELECT count(*)::int AS free FROM (SELECT FROM devices d WHERE ${FREE} AND ${ON_NODE} AND ${passes} LIMIT ${count}::int) f) have
      WHERE have.free > 0
      ORDER BY n.held, n.seat
      LIMIT ${count + taken.length}::int) chosen`;
  return fillNodes(row?.nodes ?? [], count);
}

/** Locks the best free devices of the chosen nodes, in the order the nodes were chosen. */
export function pickOnNodes(passes: Prisma.Sql, chosen: readonly Filling<Choice>[]): Prisma.Sql {
  const wanted = [...Map.groupBy(chosen, ({ node }) => node)].map(([node, places]) => ({
    node_id: node.nodeId,
    region: node.region,
    provider_type: node.providerType,
    devices: places.length,
    held: node.held,
    seat: node.seat,
  }));
  return Prisma.sql`
    SELECT json_agg(best ORDER BY level, seat) AS devices FROM (
      SELECT own.*, n.seat, n.held + row_number() OVER (PARTITION BY n.seat ORDER BY own.resource_score DESC, own.id) AS level
      FROM jsonb_to_recordset(${JSON.stringify(wanted)}::jsonb) AS n(node_id text, region text, provider_type text, devices int, held int, seat int)
      CROSS JOIN LATERAL (
        SELECT ${PICKED} FROM devices d WHERE ${FREE} AND ${ON_NODE} AND ${passes}
        ORDER BY ${PICK_ORDERS.load_balancing} LIMIT n.devices FOR UPDATE OF d SKIP LOCKED) own) best`;
}
