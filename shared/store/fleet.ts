import { Prisma } from '../../prisma/generated/client.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** A device as the platform describes it. What is left out keeps its value, or gets its default if the device is new. */
export interface DeviceWords {
  readonly id: string;
  readonly name: string;
  readonly type: 'phone' | 'tablet';
  readonly status: string;
  readonly tenantId?: string | undefined;
  readonly providerType: string;
  readonly nodeId?: string | undefined;
  readonly region?: string | undefined;
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
  readonly cpuUsage?: number | undefined;
  readonly memoryUsage?: number | undefined;
  readonly storageUsage?: number | undefined;
  readonly healthScore?: number | undefined;
  readonly costPerHour?: number | undefined;
  readonly androidVersion?: string | undefined;
  readonly adbHost?: string | undefined;
  readonly adbPort?: number | undefined;
}

/** Whose devices may be changed: everybody's, or those of one tenant (`null`: the shared ones). */
export type Ownership = { readonly kind: 'all' } | { readonly kind: 'tenant'; readonly tenantId: string | null };

/** `held`: a held device cannot be deleted. `foreign`: it belongs to another tenant. */
export type UpsertOutcome = 'created' | 'updated' | 'held' | 'foreign';

/**
 * Creates or updates devices, all in one statement. The answers are in the order of the devices.
 *
 * @param devices  ids are unique among them; about a thousand at once is a good size
 */
export async function upsertDevices(store: Store, devices: readonly DeviceWords[], owner: Ownership): Promise<UpsertOutcome[]> {
  const rows = await translated(
    store.prisma.$queryRaw<{ id: string; created: boolean }[]>`
      INSERT INTO devices AS d (id, tenant_id, name, type, status, provider_type, node_id, region, cpu_cores, memory_mb, storage_mb,
                                cpu_usage, memory_usage, storage_usage, health_score, cost_per_hour, android_version, adb_host, adb_port)
      SELECT words.id, "tenantId", words.name, words.type, words.status, "providerType", "nodeId", words.region, "cpuCores", "memoryMB", "storageMB",
             coalesce("cpuUsage", known.cpu_usage, 0), coalesce("memoryUsage", known.memory_usage, 0),
             coalesce("storageUsage", known.storage_usage, 0), coalesce("healthScore", known.health_score, 100),
             "costPerHour", "androidVersion", "adbHost", "adbPort"
      FROM jsonb_to_recordset(${JSON.stringify(devices)}::jsonb) AS words (
        id uuid, "tenantId" text, name text, type text, status text, "providerType" text, "nodeId" text, region text,
        "cpuCores" int, "memoryMB" int, "storageMB" int, "cpuUsage" float8, "memoryUsage" float8, "storageUsage" float8,
        "healthScore" float8, "costPerHour" float8, "androidVersion" text, "adbHost" text, "adbPort" int)
      LEFT JOIN devices known ON known.id = words.id
      -- In id order, so that two imports of the same devices meet without a deadlock.
      ORDER BY words.id
      ON CONFLICT (id) DO UPDATE SET
        tenant_id = coalesce(EXCLUDED.tenant_id, d.tenant_id), name = EXCLUDED.name, type = EXCLUDED.type, status = EXCLUDED.status,
        provider_type = EXCLUDED.provider_type, node_id = coalesce(EXCLUDED.node_id, d.node_id), region = coalesce(EXCLUDED.region, d.region),
        cpu_cores = EXCLUDED.cpu_cores, memory_mb = EXCLUDED.memory_mb, storage_mb = EXCLUDED.storage_mb,
        cpu_usage = EXCLUDED.cpu_usage, memory_usage = EXCLUDED.memory_usage, storage_usage = EXCLUDED.storage_usage, health_score = EXCLUDED.health_score,
        cost_per_hour = coalesce(EXCLUDED.cost_per_hour, d.cost_per_hour), android_version = coalesce(EXCLUDED.android_version, d.android_version),
        adb_host = coalesce(EXCLUDED.adb_host, d.adb_host), adb_port = coalesce(EXCLUDED.adb_port, d.adb_port), updated_at = now()
      WHERE ${ownedBy(owner)} AND NOT (EXCLUDED.status = 'deleted' AND d.allocation_id IS NOT NULL)
      RETURNING id, xmax = 0 AS created`,
  );
  const written = new Map(rows.map((row) => [row.id, row.created]));
  return devices.map((device) => {
    const created = written.get(device.id.toLowerCase());
    if (created === undefined) return owner.kind === 'all' || device.status === 'deleted' ? 'held' : 'foreign';
    return created ? 'created' : 'updated';
  });
}

/** What `changeDevice` found: the change is made, there is no such device, or a reason against it. */
export type DeviceChange = 'changed' | 'missing' | 'held' | 'foreign';

/** What may be done to one device, besides describing it anew. */
const CHANGES = {
  drain: Prisma.sql`draining = true`,
  activate: Prisma.sql`draining = false`,
  delete: Prisma.sql`status = 'deleted'`,
} as const;

/**
 * Drains a device (its lease goes on, no new one is given), takes it back into service, or deletes it.
 *
 * A held device is not deleted: drain it first, or end its lease. The row stays, because the history names it.
 */
export async function changeDevice(store: Store, id: string, change: keyof typeof CHANGES, owner: Ownership): Promise<DeviceChange> {
  const guard = change === 'delete' ? Prisma.sql`d.allocation_id IS NULL` : Prisma.sql`true`;
  const rows = await translated(
    store.prisma.$queryRaw<{ owned: boolean; held: boolean; changed: boolean }[]>`
      WITH changed AS (
        UPDATE devices d SET ${CHANGES[change]}, updated_at = now()
        WHERE d.id = ${id}::uuid AND d.status <> 'deleted' AND ${ownedBy(owner)} AND ${guard} RETURNING d.id
      )
      SELECT ${ownedBy(owner)} AS owned, d.allocation_id IS NOT NULL AS held, EXISTS (SELECT 1 FROM changed) AS changed
      FROM devices d WHERE d.id = ${id}::uuid AND d.status <> 'deleted'`,
  );
  const row = rows[0];
  if (row === undefined) return 'missing';
  if (row.changed) return 'changed';
  return row.owned ? 'held' : 'foreign';
}

function ownedBy(owner: Ownership): Prisma.Sql {
  if (owner.kind === 'all') return Prisma.sql`true`;
  return owner.tenantId === null ? Prisma.sql`d.tenant_id IS NULL` : Prisma.sql`d.tenant_id = ${owner.tenantId}`;
}
