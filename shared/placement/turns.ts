import type { Strategy } from './strategy.ts';
import type { Placeable } from './strategy-order.ts';

/** Turns a device of weight 1 is put back by; 100 is a whole idle device of 8 cores and 16 GB. */
export const STRIDE = 100_000;

/** Turns a round of `round_robin` takes: what a device of weight 100 is put back by. */
export const LAP = STRIDE / 100;

/** What of a device its weight depends on. */
export type Weighed = Pick<Placeable, 'cpuCores' | 'memoryMB' | 'cpuUsage' | 'memoryUsage'>;

/** Free processor (in units of 8 cores) and free memory (of 16 GB) in percent, by the shares of the settings; at least 1. */
export function weightOf(device: Weighed, { cpu, memory }: { readonly cpu: number; readonly memory: number }): number {
  const free = ((device.cpuCores * (100 - device.cpuUsage)) / 8) * cpu + ((device.memoryMB * (100 - device.memoryUsage)) / 16384) * memory;
  return Math.max(1, free / (cpu + memory));
}

/** Where the device stands and what the clock says after it was granted. */
export interface Turned {
  readonly turn: number;
  readonly clock: number;
}

/**
 * Puts a device that was granted back in the rotation, by a clock all processes share.
 *
 * `round_robin`: a round on from its own place, so that it does not matter which of two groups that decide at once commits
 * first. `least_connection`: each allocation counts as recent for `window` allocations of the fleet, so a higher turn means more
 * of them (a leaky bucket). `weighted_round_robin`: stride scheduling (Waldspurger, Weihl 1995): a device of twice the weight is
 * put back half as far. Nobody is further back than the clock (`round_robin`: than a round before it, as others may commit in
 * between): a new device, or one held for long, does not get all turns until it has caught up.
 *
 * @returns nothing for a strategy that takes no turns: it writes nothing
 */
export function nextTurn(strategy: Strategy, device: Weighed & { readonly turn: number }, clock: number): Turned | undefined {
  switch (strategy.type) {
    case 'round_robin': {
      const base = Math.max(device.turn, clock - LAP);
      return { turn: base + LAP, clock: Math.max(clock, Math.floor(base)) };
    }
    case 'least_connection':
      return { turn: Math.max(device.turn, clock + 1) + strategy.config.window, clock: clock + 1 };
    case 'weighted_round_robin': {
      const base = Math.max(device.turn, clock);
      return { turn: base + STRIDE / weightOf(device, strategy.config), clock: Math.floor(base) };
    }
    default:
      return undefined;
  }
}
