import { randomUUID } from 'node:crypto';
import type { Store } from '../../shared/store/store.ts';

/** What may be said of a device of a test; the rest is an idle phone of 4 cores, 8 GB and 64 GB. */
export interface TestDevice {
  readonly id?: string;
  readonly name?: string;
  readonly type?: 'phone' | 'tablet';
  readonly status?: string;
  readonly tenantId?: string;
  readonly providerType?: string;
  readonly region?: string;
  readonly androidVersion?: string;
  readonly cpuCores?: number;
  readonly memoryMB?: number;
  readonly storageMB?: number;
  readonly cpuUsage?: number;
  readonly memoryUsage?: number;
  readonly costPerHour?: number;
  readonly nodeId?: string;
  readonly turn?: number;
}

/** Puts devices into the fleet. @returns their ids, in order */
export async function addDevices(store: Store, devices: readonly TestDevice[]): Promise<string[]> {
  const rows = devices.map((device, index) => ({
    id: device.id ?? randomUUID(),
    name: device.name ?? `device-${index}`,
    type: device.type ?? 'phone',
    status: device.status ?? 'running',
    tenantId: device.tenantId ?? null,
    providerType: device.providerType ?? 'redroid',
    region: device.region ?? null,
    androidVersion: device.androidVersion ?? null,
    cpuCores: device.cpuCores ?? 4,
    memoryMb: device.memoryMB ?? 8192,
    storageMb: device.storageMB ?? 65_536,
    cpuUsage: device.cpuUsage ?? 0,
    memoryUsage: device.memoryUsage ?? 0,
    costPerHour: device.costPerHour ?? null,
    nodeId: device.nodeId ?? null,
    turn: device.turn ?? 0,
    adbHost: '10.0.0.1',
    adbPort: 5555,
  }));
  await store.prisma.device.createMany({ data: rows });
  return rows.map(({ id }) => id);
}

/** So many devices, all alike. */
export function alike(count: number, device: TestDevice = {}): TestDevice[] {
  return Array.from({ length: count }, (_, index) => ({ ...device, name: `device-${index}` }));
}
