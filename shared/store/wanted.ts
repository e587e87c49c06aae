import { Prisma } from '../../prisma/generated/client.ts';

/**
 * Whether somebody waits for this very device, or for one like it: a condition on the id of a device. Who asked for a
 * device that this one could be counts, whatever tier they are of.
 */
export function somebodyWaits(deviceId: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`EXISTS (
    SELECT FROM devices d JOIN requests r ON r.status = 'waiting'
      AND (d.tenant_id IS NULL OR d.tenant_id = r.tenant_id)
      AND coalesce(r.asked #>> '{devicePreferences,deviceId}', d.id::text) = d.id::text
      AND coalesce(r.asked #>> '{devicePreferences,deviceType}', d.type) = d.type
      AND coalesce((r.asked #>> '{preferredSpecs,minCpu}')::int, 0) <= d.cpu_cores
      AND coalesce((r.asked #>> '{preferredSpecs,minMemory}')::int, 0) <= d.memory_mb
      AND coalesce((r.asked #>> '{preferredSpecs,minStorage}')::int, 0) <= d.storage_mb
    WHERE d.id = ${deviceId})`;
}
