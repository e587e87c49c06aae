/** Limits of a user in our own units; `null` = unlimited. Kept in `users.limits` as last known. */
export interface Limits {
  readonly maxDevices: number | null;
  readonly maxCpuPerDevice: number | null;
  readonly maxMemoryMBPerDevice: number | null;
  readonly maxStorageMBPerDevice: number | null;
  readonly totalCpu: number | null;
  readonly totalMemoryMB: number | null;
  readonly totalStorageMB: number | null;
}

/** What a user's live allocations take together. */
export interface Use {
  readonly devices: number;
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
}

export const NO_USE: Use = { devices: 0, cpuCores: 0, memoryMB: 0, storageMB: 0 };

/** Resources of one device. */
export interface Size {
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
}

/** A limit that would be passed: its name in the quota service, its value, and what is used already. */
export interface LimitHit {
  readonly limit: string;
  readonly max: number;
  readonly current: number;
}

/** A user's use with one more device of the given size. */
export function useWith(use: Use, size: Size): Use {
  return {
    devices: use.devices + 1,
    cpuCores: use.cpuCores + size.cpuCores,
    memoryMB: use.memoryMB + size.memoryMB,
    storageMB: use.storageMB + size.storageMB,
  };
}

/**
 * The first limit that one more device of this size would pass, in the platform's order: devices, then CPU, memory and
 * storage of a device, then CPU, memory and storage in total. `undefined`: it fits.
 */
export function limitHit(limits: Limits, use: Use, size: Size): LimitHit | undefined {
  const rows: readonly [name: string, max: number | null, current: number, added: number][] = [
    ['maxDevices', limits.maxDevices, use.devices, 1],
    ['maxCpuCoresPerDevice', limits.maxCpuPerDevice, 0, size.cpuCores],
    ['maxMemoryMBPerDevice', limits.maxMemoryMBPerDevice, 0, size.memoryMB],
    ['maxStorageMBPerDevice', limits.maxStorageMBPerDevice, 0, size.storageMB],
    ['totalCpuCores', limits.totalCpu, use.cpuCores, size.cpuCores],
    ['totalMemoryMB', limits.totalMemoryMB, use.memoryMB, size.memoryMB],
    ['totalStorageMB', limits.totalStorageMB, use.storageMB, size.storageMB],
  ];
  for (const [limit, max, current, added] of rows) {
    if (max !== null && current + added > max) return { limit, max, current };
  }
  return undefined;
}

/** The largest device that still fits: the smaller of the per-device limit and what is left of the total. */
export function largestFitting(limits: Limits, use: Use): Size {
  const cap = (perDevice: number | null, total: number | null, used: number) =>
    Math.min(perDevice ?? Infinity, total === null ? Infinity : total - used);
  return {
    cpuCores: cap(limits.maxCpuPerDevice, limits.totalCpu, use.cpuCores),
    memoryMB: cap(limits.maxMemoryMBPerDevice, limits.totalMemoryMB, use.memoryMB),
    storageMB: cap(limits.maxStorageMBPerDevice, limits.totalStorageMB, use.storageMB),
  };
}
