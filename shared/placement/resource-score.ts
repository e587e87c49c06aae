/** What a score needs to know of a device. Usage in percent 0..100, memory and storage in MB. */
export interface Capacity {
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
  readonly cpuUsage: number;
  readonly memoryUsage: number;
  readonly storageUsage: number;
}

/**
 * Free capacity as one number: 40 % processor (in units of 8 cores), 40 % memory (of 16 GB), 20 % storage (of 128 GB),
 * times 100. The generated column `devices.resource_score` is the same arithmetic in the same order, so both give the
 * same IEEE double and a test can compare them for equality.
 */
export function resourceScore(device: Capacity): number {
  return (
    ((device.cpuCores * (100 - device.cpuUsage)) / 8) * 0.4 +
    ((device.memoryMB * (100 - device.memoryUsage)) / 16384) * 0.4 +
    ((device.storageMB * (100 - device.storageUsage)) / 131072) * 0.2
  );
}
