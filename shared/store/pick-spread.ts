import { Prisma } from '../../prisma/generated/client.ts';
import type { PreferenceStep } from '../placement/preference-steps.ts';
import type { Preference, Requirement } from '../placement/requirement.ts';
import { type Filling, fillNodes, type NodeLoad } from '../placement/spread.ts';
import { FREE, fulfils } from './device-filters.ts';
import { PICK_ORDERS, PICKED } from './pick-order.ts';
import type { Transaction } from './store.ts';

/** A node that has matching devices free, with what this transaction has taken from it already counted as held. */
type Choice = NodeLoad & { readonly free: number };

const ON_NODE = Prisma.sql`coalesce(d.node_id, '') = n.node_id AND coalesce(d.region, '') = n.region AND d.provider_type = n.provider_type`;

/** Matching devices whose nodes are found from them: all of them, where fewer match. */
const FEW = 1_000;
/** Nodes looked at, the least loaded first. */
const MOST_LOOKED_AT = 1_000;

/**
 * Which nodes the next devices come from: the least loaded ones that have one free.
 *
 * Nodes are looked up in the order of their load, so many at most; where matching devices are rare, their nodes are found from
 * the devices. So the choice is exact unless more than `FEW` devices match and yet none of the first nodes has enough of them.
 *
 * @param taken  devices this transaction has given out already
 */
export async function chooseNodes(
  tx: Transaction,
  { passes, passesOnNode, could }: Spreading,
  count: number,
  taken: readonly string[],
): Promise<Filling<Choice>[]> {
  // The order of the nodes that are looked at is that of the nested loop; sorting them afterwards would look at all of them.
  const [row] = await tx.$queryRaw<{ nodes: Choice[] | null }[]>`
    WITH few AS (
      SELECT coalesce(d.node_id, '') AS node_id, coalesce(d.region, '') AS region, d.provider_type
      FROM devices d WHERE ${FREE} AND ${passes} ORDER BY ${PICK_ORDERS.load_balancing} LIMIT ${FEW}::int
    ), walked AS (
      SELECT n.*, have.free FROM (
        SELECT node_id, region, provider_type, held, seat FROM node_loads n WHERE ${could} ORDER BY held, seat LIMIT ${MOST_LOOKED_AT}::int
      ) n CROSS JOIN LATERAL (
        SELECT count(*)::int AS free FROM (SELECT FROM devices d WHERE ${FREE} AND ${ON_NODE} AND ${passesOnNode} LIMIT ${count}::int) f
      ) have WHERE (SELECT count(*) FROM few) = ${FEW}::int AND have.free > 0 LIMIT ${count + taken.length}::int
    ), found AS (
      SELECT n.node_id, n.region, n.provider_type, n.held, n.seat, f.free
      FROM (SELECT node_id, region, provider_type, count(*)::int AS free FROM few GROUP BY 1, 2, 3) f
      JOIN node_loads n ON n.node_id = f.node_id AND n.region = f.region AND n.provider_type = f.provider_type
    ), mine AS (
      SELECT coalesce(node_id, '') AS node_id, coalesce(region, '') AS region, provider_type, count(*)::int AS devices
      FROM devices WHERE id = ANY(${taken}::uuid[]) GROUP BY 1, 2, 3
    )
    SELECT json_agg(chosen) AS nodes FROM (
      SELECT n.node_id AS "nodeId", n.region, n.provider_type AS "providerType", n.seat, n.held + coalesce(mine.devices, 0) AS held, n.free
      FROM (SELECT node_id, region, provider_type, held, seat, max(free) AS free
            FROM (SELECT * FROM walked UNION ALL SELECT * FROM found) both_ways GROUP BY 1, 2, 3, 4, 5) n
      LEFT JOIN mine ON mine.node_id = n.node_id AND mine.region = n.region AND mine.provider_type = n.provider_type) chosen`;
  return fillNodes(row?.nodes ?? [], count);
}

/** What a device must be to be picked, the same on a node that is known, and what a node `n` must be to have one. */
export interface Spreading {
  readonly passes: Prisma.Sql;
  readonly passesOnNode: Prisma.Sql;
  readonly could: Prisma.Sql;
}

/**
 * A step of the wishes as conditions on devices and nodes. What a node says is not asked of its devices again: it would tempt
 * the planner to go through the index of a region for each of its nodes.
 *
 * @param others  conditions besides the wishes
 */
export function spreading(need: Requirement, step: PreferenceStep, wish: Preference, others: Prisma.Sql): Spreading {
  const region = step.has('region') ? Prisma.sql`AND n.region = ${wish.region}` : Prisma.empty;
  const provider = step.has('provider') ? Prisma.sql`AND n.provider_type = ${wish.providerType}` : Prisma.empty;
  const ofDevices = new Set([...step].filter((part) => part !== 'region' && part !== 'provider'));
  return {
    passes: Prisma.sql`${fulfils(step, wish)} AND ${others}`,
    passesOnNode: Prisma.sql`${fulfils(ofDevices, wish)} AND ${others}`,
    could: Prisma.sql`n.most_cpu >= ${need.minCpu}::int AND n.most_memory >= ${need.minMemoryMB}::int AND n.most_storage >= ${need.minStorageMB}::int
        ${region} ${provider}`,
  };
}

/** Locks the best free devices of the chosen nodes, in the order the nodes were chosen. */
export function pickOnNodes({ passesOnNode }: Spreading, chosen: readonly Filling<Choice>[]): Prisma.Sql {
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
        SELECT ${PICKED} FROM devices d WHERE ${FREE} AND ${ON_NODE} AND ${passesOnNode}
        ORDER BY ${PICK_ORDERS.load_balancing} LIMIT n.devices FOR UPDATE OF d SKIP LOCKED) own) best`;
}
