import type { Preference, Requirement } from './requirement.ts';

/** A device as placement sees it. */
export interface Candidate {
  readonly id: string;
  readonly tenantId: string | null;
  readonly type: 'phone' | 'tablet';
  readonly providerType: string;
  readonly region: string | null;
  readonly androidVersion: string | null;
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
  readonly resourceScore: number;
  readonly costPerHour?: number | null;
}

/**
 * Weights are powers of two, so a heavier wish outweighs all lighter ones together and the order of preference is
 * lexicographic: not an avoided device, the device held last, region, provider, Android version.
 */
export const PREFERENCE_WEIGHTS = { notAvoided: 16, lastDevice: 8, region: 4, provider: 2, android: 1 } as const;

/** Sum of the weights of the wishes a device fulfils. A wish that was not expressed counts nothing. */
export function preferenceScore(device: Candidate, wish: Preference): number {
  const W = PREFERENCE_WEIGHTS;
  return (
    (wish.avoidDeviceIds.length > 0 && !wish.avoidDeviceIds.includes(device.id) ? W.notAvoided : 0) +
    (wish.lastDeviceId !== null && wish.lastDeviceId === device.id ? W.lastDevice : 0) +
    (wish.region !== null && wish.region === device.region ? W.region : 0) +
    (wish.providerType !== null && wish.providerType === device.providerType ? W.provider : 0) +
    (wish.androidVersion !== null && wish.androidVersion === device.androidVersion ? W.android : 0)
  );
}

/** Whether a device passes every hard filter. */
export function meets(device: Candidate, need: Requirement): boolean {
  return (
    (device.tenantId === null || device.tenantId === need.tenantId) &&
    (need.deviceId === null || need.deviceId === device.id) &&
    (need.deviceType === null || need.deviceType === device.type) &&
    device.cpuCores >= need.minCpu &&
    device.memoryMB >= need.minMemoryMB &&
    device.storageMB >= need.minStorageMB &&
    device.cpuCores <= need.caps.cpuCores &&
    device.memoryMB <= need.caps.memoryMB &&
    device.storageMB <= need.caps.storageMB &&
    (device.costPerHour ?? 0) <= (need.maxCostPerHour ?? Infinity)
  );
}

/** Below 0: `a` goes first. Never 0 for two devices, as the id comes last. */
export type Order<D> = (a: D, b: D) => number;

/** Most free capacity first. */
export const byFreeCapacity: Order<Candidate> = (a, b) => b.resourceScore - a.resourceScore || (a.id < b.id ? -1 : 1);

/**
 * The order in which a strategy would hand out the given free devices: wishes first, then the order of the strategy, with the id
 * last so that it is total. `shared/store/pick-devices.ts` walks indexes in this very order; a test compares the two.
 *
 * @param order  of devices that fulfil the same wishes, see `STRATEGY_ORDERS`; left out, that of `resource_based`
 */
export function rankDevices<D extends Candidate>(
  devices: readonly D[],
  need: Requirement,
  wish: Preference,
  order: Order<D> = byFreeCapacity,
): D[] {
  return devices.filter((device) => meets(device, need)).sort((a, b) => compare(a, b, wish, order));
}

/** The best of the given free devices, or nothing when none passes the hard filters. One walk, no sorting. */
export function bestDevice<D extends Candidate>(
  devices: Iterable<D>,
  need: Requirement,
  wish: Preference,
  order: Order<D> = byFreeCapacity,
): D | undefined {
  let best: D | undefined;
  for (const device of devices) {
    if (meets(device, need) && (best === undefined || compare(device, best, wish, order) < 0)) best = device;
  }
  return best;
}

function compare<D extends Candidate>(a: D, b: D, wish: Preference, order: Order<D>): number {
  return preferenceScore(b, wish) - preferenceScore(a, wish) || order(a, b);
}
