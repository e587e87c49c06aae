import { type AskedAllocation, DEVICE_TYPES } from '../allocation/asked.ts';
import type { Caps } from '../placement/requirement.ts';
import type { Size } from '../quota/limits.ts';

/**
 * What a device must be for a waiting request: `[type, least cores, least MB memory, least MB storage, most cores, most MB
 * memory, most MB storage]`. Type 0 is any; the most is what the user's limits leave. Requests with the same needs are a
 * class; there are few classes however many wait, so what a device can be used for is found by looking at the first of each.
 */
export type Needs = readonly [
  type: number,
  minCpu: number,
  minMemoryMB: number,
  minStorageMB: number,
  maxCpu: number,
  maxMemoryMB: number,
  maxStorageMB: number,
];

/** No upper bound, in the integers of Postgres. */
export const UNBOUNDED = 2_147_483_647;

/** The number of a kind of device; 0 is any. */
export function typeNumberOf(type: (typeof DEVICE_TYPES)[number] | null | undefined): number {
  return type == null ? 0 : DEVICE_TYPES.indexOf(type) + 1;
}

/** @param caps  the largest device the user's limits leave room for */
export function needsOf(asked: AskedAllocation, caps: Caps): Needs {
  const { preferredSpecs: specs, devicePreferences: wish } = asked;
  return [
    typeNumberOf(wish?.deviceType),
    specs?.minCpu ?? 0,
    specs?.minMemory ?? 0,
    specs?.minStorage ?? 0,
    bounded(caps.cpuCores),
    bounded(caps.memoryMB),
    bounded(caps.storageMB),
  ];
}

/** Whether a device is within the needs. */
export function fits(needs: Needs, device: Size & { readonly type: (typeof DEVICE_TYPES)[number] }): boolean {
  const [type, minCpu, minMemory, minStorage, maxCpu, maxMemory, maxStorage] = needs;
  return (
    (type === 0 || type === typeNumberOf(device.type)) &&
    between(device.cpuCores, minCpu, maxCpu) &&
    between(device.memoryMB, minMemory, maxMemory) &&
    between(device.storageMB, minStorage, maxStorage)
  );
}

const between = (value: number, least: number, most: number) => value >= least && value <= most;

const bounded = (cap: number) => Math.max(0, Math.min(UNBOUNDED, Math.floor(cap)));
