import {
  FLEET_STATES,
  type FleetGroup,
  type FleetPlace,
  type FleetState,
  readFleetCells,
  readFleetGroups,
  readFleetPlaces,
} from '../../shared/store/fleet-view.ts';
import type { Store } from '../../shared/store/store.ts';

/** Up to so many devices each has its own cell; a larger fleet is shown by node. */
export const MOST_CELLS = 20_000;
/** More nodes than these are shown by region. */
const MOST_GROUPS = 2_000;

type Counts = Readonly<Record<FleetState, number>>;

/** The fleet now: one letter a device in the order of the layout, or shares by node. */
export type FleetNow =
  | { readonly mode: 'cells'; readonly total: number; readonly counts: Counts; readonly layout: string; readonly cells: string }
  | { readonly mode: 'groups'; readonly total: number; readonly counts: Counts; readonly groups: readonly FleetGroup[] };

/** Who stands where; good for the cells of the same `id`. */
export interface FleetLayout {
  readonly id: string;
  readonly names: readonly string[];
  /** Where a group begins. */
  readonly groups: readonly { readonly region: string; readonly node: string; readonly from: number }[];
}

interface Placed {
  readonly layout: FleetLayout;
  readonly ids: readonly string[];
  /** Where in the order of the ids each cell is found. */
  readonly order: readonly number[];
}

/** Reads the fleet for the map, and knows its layout. */
export interface FleetMap {
  read(): Promise<FleetNow>;
  layout(): Promise<FleetLayout>;
  /** The device of a cell, if the layout is still that one. */
  deviceAt(layout: string, index: number): Promise<string | undefined>;
}

/** @param mostCells  devices above which nodes are shown; @param mostGroups  nodes above which regions are */
export function createFleetMap(store: Store, mostCells = MOST_CELLS, mostGroups = MOST_GROUPS): FleetMap {
  let large = false;
  let placed: Placed | undefined;

  async function place(membership: string): Promise<Placed> {
    if (placed?.layout.id === membership) return placed;
    placed = arrange(membership, await readFleetPlaces(store, mostCells));
    return placed;
  }

  async function readCells(): Promise<FleetNow> {
    const { cells, count, membership } = await readFleetCells(store, mostCells);
    large = count > mostCells;
    if (large) return readGroups();
    const { order } = await place(membership);
    const arranged = order.map((index) => cells[index] ?? 'o').join('');
    return { mode: 'cells', total: count, counts: countLetters(cells), layout: membership, cells: arranged };
  }

  async function readGroups(): Promise<FleetNow> {
    const groups = await readFleetGroups(store, mostGroups);
    const counts = Object.fromEntries(STATES.map((state) => [state, groups.reduce((sum, group) => sum + group[state], 0)])) as Counts;
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
    large = total > mostCells;
    return { mode: 'groups', total, counts, groups };
  }

  async function now(): Promise<Placed> {
    const { membership } = await readFleetCells(store, mostCells);
    return place(membership);
  }

  return {
    read: () => (large ? readGroups() : readCells()),
    layout: async () => (await now()).layout,
    deviceAt: async (layout, index) => {
      const { layout: known, ids, order } = await now();
      return known.id === layout ? ids[order[index] ?? -1] : undefined;
    },
  };
}

const STATES = Object.keys(FLEET_STATES) as FleetState[];

/** By region and node, within a node by name, numbers in names by their size. */
function arrange(id: string, places: readonly FleetPlace[]): Placed {
  const compare = new Intl.Collator('en', { numeric: true }).compare;
  const keyed = places.map((place, index) => ({ place, index, label: `${place.region}\n${place.node}` }));
  keyed.sort((a, b) => compare(a.label, b.label) || compare(a.place.name, b.place.name));
  const groups: { region: string; node: string; from: number }[] = [];
  for (const [from, { place, label }] of keyed.entries()) {
    if (from === 0 || keyed[from - 1]?.label !== label) groups.push({ region: place.region, node: place.node, from });
  }
  return {
    layout: { id, names: keyed.map(({ place }) => place.name), groups },
    ids: places.map(({ id: device }) => device),
    order: keyed.map(({ index }) => index),
  };
}

function countLetters(cells: string): Counts {
  const counts = new Map<string, number>();
  for (const letter of cells) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  return Object.fromEntries(STATES.map((state) => [state, counts.get(FLEET_STATES[state]) ?? 0])) as Counts;
}
