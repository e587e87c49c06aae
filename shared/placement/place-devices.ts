import { preferenceScore, rankDevices } from './rank-devices.ts';
import type { Preference, Requirement } from './requirement.ts';
import { type NodeLoad, nodeKey, nodeOf, spread } from './spread.ts';
import type { StrategyType } from './strategy.ts';
import { type Placeable, STRATEGY_ORDERS } from './strategy-order.ts';

/**
 * The order in which a strategy hands out the given free devices to requests that want the same: what
 * `shared/store/pick-devices.ts` does with indexes, said in full.
 *
 * @param loads  of the nodes by `nodeKey`; only `load_balancing` looks at them
 */
export function placeDevices<D extends Placeable>(
  devices: readonly D[],
  need: Requirement,
  wish: Preference,
  type: StrategyType,
  loads: ReadonlyMap<string, NodeLoad> = new Map(),
): D[] {
  const ranked = rankDevices(devices, need, wish, STRATEGY_ORDERS[type]);
  if (type !== 'load_balancing') return ranked;
  const given: D[] = [];
  for (const equals of Map.groupBy(ranked, (device) => preferenceScore(device, wish)).values()) {
    given.push(...spread(equals, withGiven(loads, given)));
  }
  return given;
}

/** The loads once these devices are held as well. */
export function withGiven(loads: ReadonlyMap<string, NodeLoad>, given: readonly Placeable[]): ReadonlyMap<string, NodeLoad> {
  if (given.length === 0) return loads;
  const after = new Map(loads);
  for (const device of given) {
    const node = nodeOf(device);
    const load = after.get(nodeKey(node)) ?? { ...node, held: 0, seat: Number.MAX_SAFE_INTEGER };
    after.set(nodeKey(node), { ...load, held: load.held + 1 });
  }
  return after;
}
