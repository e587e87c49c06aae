import { Prisma } from '../../prisma/generated/client.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** How a device stands, for people, each with the letter that stands for it on the map. */
export const FLEET_STATES = {
  free: 'f',
  held: 'h',
  draining: 'd',
  cleaning: 'c',
  off: 'o',
  maintenance: 'm',
  error: 'e',
} as const;

export type FleetState = keyof typeof FLEET_STATES;

/** Devices of one node (or region) by state. */
export interface FleetGroup extends Readonly<Record<FleetState, number>> {
  readonly region: string;
  readonly node: string;
}

/** Where a device stands on the map. */
export interface FleetPlace {
  readonly id: string;
  readonly name: string;
  readonly region: string;
  readonly node: string;
}

/** One letter a device, in the order of their ids. `membership` is another one once a device comes, goes or moves. */
export interface FleetCells {
  readonly cells: string;
  readonly count: number;
  readonly membership: string;
}

// What keeps a device from being given out comes first: a held one that is being drained shows as draining.
const STATE = Prisma.sql`CASE WHEN d.status = 'error' THEN 'e' WHEN d.status = 'maintenance' THEN 'm' WHEN d.draining THEN 'd'
  WHEN d.allocation_id IS NOT NULL THEN 'h' WHEN d.cleaning_until IS NOT NULL THEN 'c' WHEN d.status = 'running' THEN 'f' ELSE 'o' END`;
const REGION = Prisma.sql`coalesce(d.region, '')`;
const NODE = Prisma.sql`coalesce(d.node_id, '')`;

/** The fleet as one text; at most `most` devices are looked at, and one more says that there are more. */
export async function readFleetCells(store: Store, most: number): Promise<FleetCells> {
  const [row] = await translated(
    store.prisma.$queryRaw<FleetCells[]>`
      SELECT coalesce(string_agg(s, '' ORDER BY id), '') AS cells, count(*)::int AS count,
        coalesce(sum(hashtextextended(id::text || name || '/' || region || '/' || node, 0)), 0)::text AS membership
      FROM (SELECT d.id, d.name, ${REGION} AS region, ${NODE} AS node, ${STATE} AS s FROM devices d
            WHERE d.status <> 'deleted' ORDER BY d.id LIMIT ${most + 1}::int) fleet`,
  );
  return row ?? { cells: '', count: 0, membership: '0' };
}

/** Who stands where: in the order of the ids, as the cells are. */
export async function readFleetPlaces(store: Store, most: number): Promise<readonly FleetPlace[]> {
  return translated(
    store.prisma.$queryRaw<FleetPlace[]>`
      SELECT d.id::text AS id, d.name, ${REGION} AS region, ${NODE} AS node FROM devices d WHERE d.status <> 'deleted' ORDER BY d.id LIMIT ${most}::int`,
  );
}

/** A large fleet by node; by region when there are more nodes than `most`. Reads every row: ask seldom. */
export async function readFleetGroups(store: Store, most: number): Promise<readonly FleetGroup[]> {
  const counted = Object.entries(FLEET_STATES).map(
    ([state, letter]) => Prisma.sql`coalesce(sum(counted.n) FILTER (WHERE counted.s = ${letter}), 0)::int AS ${Prisma.raw(state)}`,
  );
  return translated(
    store.prisma.$queryRaw<FleetGroup[]>`
      WITH counted AS MATERIALIZED (
        SELECT ${REGION} AS region, ${NODE} AS node, ${STATE} AS s, count(*) AS n FROM devices d WHERE d.status <> 'deleted' GROUP BY 1, 2, 3
      ), nodes AS (SELECT count(DISTINCT (region, node)) AS n FROM counted)
      SELECT counted.region, CASE WHEN nodes.n > ${most}::int THEN '' ELSE counted.node END AS node, ${Prisma.join(counted)}
      FROM counted CROSS JOIN nodes GROUP BY 1, 2 ORDER BY 1, 2`,
  );
}
