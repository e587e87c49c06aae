import type { Placeable } from '../../shared/placement/strategy-order.ts';
import type { Store } from '../../shared/store/store.ts';

/** The fleet as the placement rules see it. */
export async function readPlaceable(store: Store): Promise<Placeable[]> {
  return (await store.prisma.device.findMany()).map((row) => ({
    id: row.id,
    tenantId: row.tenantId,
    type: row.type === 'tablet' ? 'tablet' : 'phone',
    providerType: row.providerType,
    nodeId: row.nodeId,
    region: row.region,
    androidVersion: row.androidVersion,
    cpuCores: row.cpuCores,
    memoryMB: row.memoryMb,
    storageMB: row.storageMb,
    cpuUsage: row.cpuUsage,
    memoryUsage: row.memoryUsage,
    costPerHour: row.costPerHour,
    resourceScore: row.resourceScore,
    turn: row.turn,
  }));
}
