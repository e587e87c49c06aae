import { Prisma } from '../../prisma/generated/client.ts';
import type { Candidate } from '../placement/rank-devices.ts';
import type { FreeDevice } from '../waitlist/match-devices.ts';
import { FREE } from './device-filters.ts';
import type { Transaction } from './store.ts';

interface DeviceRow {
  id: string;
  tenant_id: string | null;
  type: Candidate['type'];
  provider_type: string;
  region: string | null;
  android_version: string | null;
  cpu_cores: number;
  memory_mb: number;
  storage_mb: number;
  resource_score: number;
  free_minutes: number | null;
}

/** Longest lease there is, in minutes: a reservation after it is in nobody's way. */
const LONGEST = 1_440;

/**
 * Devices as the match of waiting requests sees them, with the minutes until their next reservation and the gap before it.
 *
 * @param which  `free`: only those that could be given out now; `any`: held ones too
 */
export async function readDevices(
  tx: Pick<Transaction, '$queryRaw'>,
  deviceIds: readonly string[],
  which: 'free' | 'any',
): Promise<FreeDevice[]> {
  if (deviceIds.length === 0) return [];
  const rows = await tx.$queryRaw<DeviceRow[]>`
    SELECT d.id, d.tenant_id, d.type, d.provider_type, d.region, d.android_version, d.cpu_cores, d.memory_mb, d.storage_mb, d.resource_score,
      (SELECT extract(epoch FROM min(r.starts_at - (r.blocked_until - r.ends_at)) - now())::float8 / 60 FROM reservations r
       WHERE r.device_id = d.id AND r.status IN ('pending', 'confirmed', 'executing')
         AND tstzrange(r.starts_at, r.blocked_until) && tstzrange(now(), now() + make_interval(mins => ${LONGEST}::int) + interval '1 day')) AS free_minutes
    FROM devices d WHERE d.id = ANY(${deviceIds}::uuid[]) AND ${which === 'free' ? FREE : Prisma.sql`d.status <> 'deleted'`}`;
  return rows.map(toDevice);
}

function toDevice(row: DeviceRow): FreeDevice {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    type: row.type,
    providerType: row.provider_type,
    region: row.region,
    androidVersion: row.android_version,
    cpuCores: row.cpu_cores,
    memoryMB: row.memory_mb,
    storageMB: row.storage_mb,
    resourceScore: row.resource_score,
    freeMinutes: row.free_minutes ?? Infinity,
  };
}
