import type { Size } from '../quota/limits.ts';

const MB_PER_GB = 1024;

/**
 * The outbox row that tells the quota service of a change of use. Its key is the allocation, so the two reports of one
 * allocation leave in order; the receiver counts each once by `<allocationId>:<operation>`.
 */
export function usageReport(
  operation: 'increment' | 'decrement',
  holder: { allocationId: string; userId: string; deviceId: string } & Size,
) {
  const payload = {
    userId: holder.userId,
    deviceId: holder.deviceId,
    cpuCores: holder.cpuCores,
    memoryGB: holder.memoryMB / MB_PER_GB,
    storageGB: holder.storageMB / MB_PER_GB,
    operation,
  };
  return { channel: 'usage', topic: operation, key: holder.allocationId, payload } as const;
}
