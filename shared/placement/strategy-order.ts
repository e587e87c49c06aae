import { byFreeCapacity, type Candidate, type Order } from './rank-devices.ts';
import type { StrategyType } from './strategy.ts';

/** A device with what the strategies look at besides its free capacity. Usage in percent 0..100. */
export interface Placeable extends Candidate {
  readonly cpuUsage: number;
  readonly memoryUsage: number;
  readonly costPerHour: number | null;
  readonly nodeId: string | null;
  /** Where it stands in the rotation: the smaller goes first. */
  readonly turn: number;
}

const byId: Order<Placeable> = (a, b) => (a.id < b.id ? -1 : 1);
const byTurn: Order<Placeable> = (a, b) => a.turn - b.turn || byId(a, b);
const bySize: Order<Placeable> = (a, b) => a.cpuCores - b.cpuCores || a.memoryMB - b.memoryMB || a.storageMB - b.storageMB || byId(a, b);
const byUse: Order<Placeable> = (a, b) => a.cpuUsage - b.cpuUsage || byTurn(a, b);
const byCost: Order<Placeable> = (a, b) => compareCost(a.costPerHour, b.costPerHour) || byFreeCapacity(a, b);

/** A device without a price comes after all that have one. */
function compareCost(a: number | null, b: number | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return a - b;
}

/**
 * How each strategy orders free devices that fulfil the same wishes. `locality_aware` adds wishes instead (`localWishes`);
 * `load_balancing` takes the best of each node, and spreads over the nodes (`spread`).
 */
export const STRATEGY_ORDERS: Readonly<Record<StrategyType, Order<Placeable>>> = {
  round_robin: byTurn,
  least_connection: byUse,
  weighted_round_robin: byTurn,
  resource_based: byFreeCapacity,
  load_balancing: byFreeCapacity,
  resource_efficiency: bySize,
  locality_aware: byFreeCapacity,
  cost_optimization: byCost,
};
