/** Where a device runs. `''` stands for no node or no region: such devices count as one node of their region and provider. */
export interface Node {
  readonly nodeId: string;
  readonly region: string;
  readonly providerType: string;
}

/** A node with how many of its devices are held, and its place in a fixed order that takes regions and providers in turn. */
export interface NodeLoad extends Node {
  readonly held: number;
  readonly seat: number;
}

/** The node of a device. */
export function nodeOf(device: { readonly nodeId: string | null; readonly region: string | null; readonly providerType: string }): Node {
  return { nodeId: device.nodeId ?? '', region: device.region ?? '', providerType: device.providerType };
}

/** One text for one node. */
export function nodeKey({ nodeId, region, providerType }: Node): string {
  return JSON.stringify([nodeId, region, providerType]);
}

/** What comes first when the least loaded node is filled first: levels are as water rising in vessels. */
export interface Filling<N extends NodeLoad> {
  readonly node: N;
  /** Devices of the node that are held once this one is. */
  readonly level: number;
}

/**
 * The nodes the next `count` devices come from, in order: always the one with the fewest held devices that has a free one
 * left, and of equals the one with the lower seat. So nodes that have room never differ by more than one.
 *
 * @param nodes  each with how many matching devices it has free
 */
export function fillNodes<N extends NodeLoad & { readonly free: number }>(nodes: readonly N[], count: number): Filling<N>[] {
  const places = nodes.flatMap((node) =>
    Array.from({ length: Math.min(node.free, count) }, (_, index) => ({ node, level: node.held + index + 1 })),
  );
  return places.sort((a, b) => a.level - b.level || a.node.seat - b.node.seat).slice(0, count);
}

/**
 * Puts devices into the order in which they are given out when the least loaded node goes first.
 *
 * @param devices  best first; within a node they stay in this order
 * @param loads  by `nodeKey`; a node that is missing holds nothing and sits last
 */
export function spread<D extends Parameters<typeof nodeOf>[0]>(devices: readonly D[], loads: ReadonlyMap<string, NodeLoad>): D[] {
  const byNode = Map.groupBy(devices, (device) => nodeKey(nodeOf(device)));
  const nodes = [...byNode].map(([key, own]) => {
    const load = loads.get(key) ?? { ...nodeOf(own[0] as D), held: 0, seat: Number.MAX_SAFE_INTEGER };
    return { ...load, free: own.length, own: own[Symbol.iterator]() };
  });
  return fillNodes(nodes, devices.length).flatMap(({ node }) => {
    const next = node.own.next();
    return next.done === true ? [] : [next.value];
  });
}

/** Gives nodes their seats: first one of each region and provider, then the second of each, and so on. */
export function seated(nodes: readonly Node[]): readonly (Node & { readonly seat: number })[] {
  const rows = [...Map.groupBy(nodes, ({ region, providerType }) => JSON.stringify([region, providerType])).entries()].flatMap(
    ([place, own]) => own.toSorted((a, b) => (a.nodeId < b.nodeId ? -1 : 1)).map((node, row) => ({ node, row, place })),
  );
  return rows.sort((a, b) => a.row - b.row || (a.place < b.place ? -1 : 1)).map(({ node }, seat) => ({ ...node, seat }));
}
