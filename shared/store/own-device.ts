import { type PickedDevice, type PickedRow, toPicked } from './pick-devices.ts';
import type { Transaction } from './store.ts';

/** A device by name, locked. `busy`: held or being cleaned, it will be free; `gone`: it is not in service. */
export type OwnedDevice = { readonly state: 'free'; readonly device: PickedDevice } | { readonly state: 'busy' | 'gone' };

interface OwnRow extends PickedRow {
  in_service: boolean;
  busy: boolean;
}

/** Locks a device until the transaction ends and says whether it can be given out. Undefined: there is none. */
export async function readOwnDevice(tx: Transaction, deviceId: string | null): Promise<OwnedDevice | undefined> {
  if (deviceId === null) return undefined;
  const [row] = await tx.$queryRaw<OwnRow[]>`
    SELECT d.id, d.name, d.status, d.fence::float8 AS fence, d.cpu_cores, d.memory_mb, d.storage_mb, d.resource_score, d.cost_per_hour,
      (extract(epoch FROM greatest(date_trunc('milliseconds', statement_timestamp()), d.updated_at)) * 1000)::float8 AS free_since_ms,
      d.status = 'running' AND NOT d.draining AS in_service, d.allocation_id IS NOT NULL OR d.cleaning_until IS NOT NULL AS busy
    FROM devices d WHERE d.id = ${deviceId}::uuid FOR UPDATE`;
  if (row === undefined) return undefined;
  if (!row.in_service) return { state: 'gone' };
  return row.busy ? { state: 'busy' } : { state: 'free', device: toPicked(row) };
}
