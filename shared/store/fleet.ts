import { Prisma } from '../../prisma/generated/client.ts';
import { OUT_OF_SERVICE } from '../consumed/decide-loss.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

/** A device as the platform describes it. What is left out keeps its value, or gets its default if the device is new. */
export interface DeviceWords {
  readonly id: string;
  readonly name?: string | undefined;
  readonly type?: 'phone' | 'tablet' | undefined;
  readonly status: string;
  readonly tenantId?: string | undefined;
  readonly providerType?: string | undefined;
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

/**
 * What an upsert wrote. `foreign`: ids of devices it did not write, since they belong to another tenant. `down`: those that are out
 * of service now and have a holder or reservations somebody has to look after.
 */
export interface UpsertOutcome {
  readonly created: number;
  readonly updated: number;
  readonly foreign: readonly string[];
  readonly down: readonly string[];
}

/**
 * Creates or updates devices, all in one statement.
 *
 * Only counts and the ids of the rejected come back: a row for each device would cost an import as much as writing it.
 *
 * @param devices  each the JSON text of a `DeviceWords` (an import keeps texts, which are small, instead of objects); ids
 *                 are unique among them, in lower case; about a thousand at once is a good size
 */
export async function upsertDevices(
  store: { readonly prisma: Pick<Transaction, '$queryRaw'> },
  devices: readonly string[],
  owner: Ownership,
): Promise<UpsertOutcome> {
  const [row] = await translated(
    store.prisma.$queryRaw<{ created: number; updated: number; foreign: string[]; down: string[] }[]>`
      WITH words AS (
        SELECT * FROM jsonb_to_recordset(${`[${devices.join(',')}]`}::jsonb) AS words (
          id uuid, "tenantId" text, name text, type text, status text, "providerType" text, "nodeId" text, region text,
          "cpuCores" int, "memoryMB" int, "storageMB" int, "cpuUsage" float8, "memoryUsage" float8, "storageUsage" float8,
          "healthScore" float8, "costPerHour" float8, "androidVersion" text, "adbHost" text, "adbPort" int)
      ), written AS (
        INSERT INTO devices AS d (id, tenant_id, name, type, status, provider_type, node_id, region, cpu_cores, memory_mb, storage_mb,
                                  cpu_usage, memory_usage, storage_usage, health_score, cost_per_hour, android_version, adb_host, adb_port)
        SELECT words.id, "tenantId", coalesce(words.name, known.name, 'device ' || words.id), coalesce(words.type, known.type, 'phone'),
               words.status, coalesce("providerType", known.provider_type, 'redroid'), "nodeId", words.region, "cpuCores", "memoryMB", "storageMB",
               coalesce("cpuUsage", known.cpu_usage, 0), coalesce("memoryUsage", known.memory_usage, 0),
               coalesce("storageUsage", known.storage_usage, 0), coalesce("healthScore", known.health_score, 100),
               "costPerHour", "androidVersion", "adbHost", "adbPort"
        FROM words LEFT JOIN devices known ON known.id = words.id
        -- In id order, so that two imports of the same devices meet without a deadlock.
        ORDER BY words.id
        ON CONFLICT (id) DO UPDATE SET
          tenant_id = coalesce(EXCLUDED.tenant_id, d.tenant_id), name = EXCLUDED.name, type = EXCLUDED.type, status = EXCLUDED.status,
          provider_type = EXCLUDED.provider_type, node_id = coalesce(EXCLUDED.node_id, d.node_id), region = coalesce(EXCLUDED.region, d.region),
          cpu_cores = EXCLUDED.cpu_cores, memory_mb = EXCLUDED.memory_mb, storage_mb = EXCLUDED.storage_mb,
          cpu_usage = EXCLUDED.cpu_usage, memory_usage = EXCLUDED.memory_usage, storage_usage = EXCLUDED.storage_usage, health_score = EXCLUDED.health_score,
          cost_per_hour = coalesce(EXCLUDED.cost_per_hour, d.cost_per_hour), android_version = coalesce(EXCLUDED.android_version, d.android_version),
          adb_host = coalesce(EXCLUDED.adb_host, d.adb_host), adb_port = coalesce(EXCLUDED.adb_port, d.adb_port), updated_at = now()
        WHERE ${ownedBy(owner)}
        RETURNING id, xmax = 0 AS created, status = ANY(${[...OUT_OF_SERVICE]}::text[]) AS down, allocation_id IS NOT NULL AS held
      )
      SELECT count(*) FILTER (WHERE created)::int AS created, count(*) FILTER (WHERE NOT created)::int AS updated,
             ARRAY(SELECT words.id::text FROM words LEFT JOIN written ON written.id = words.id WHERE written.id IS NULL) AS foreign,
             ARRAY(SELECT w.id::text FROM written w WHERE w.down AND NOT w.created AND (w.held OR EXISTS (
               SELECT FROM reservations r WHERE r.device_id = w.id AND r.status IN ('pending', 'confirmed')))) AS down
      FROM written`,
  );
  const { created = 0, updated = 0, foreign = [], down = [] } = row ?? {};
  return { created, updated, foreign, down };
}

/** What `changeDevice` found: the change is made, there is no such device, or it is another tenant's. */
export type DeviceChange = 'changed' | 'missing' | 'foreign';

/** What may be done to one device, besides describing it anew. */
const CHANGES = {
  drain: Prisma.sql`draining = true`,
  activate: Prisma.sql`draining = false`,
  delete: Prisma.sql`status = 'deleted'`,
} as const;

/**
 * Drains a device (its lease goes on, no new one is given), takes it back into service, or deletes it. The row of a deleted one
 * stays, because the history names it. Holder and reservations are left to whoever handles `settle-device`.
 */
export async function changeDevice(store: Store, id: string, change: keyof typeof CHANGES, owner: Ownership): Promise<DeviceChange> {
  const rows = await translated(
    store.prisma.$queryRaw<{ changed: boolean }[]>`
      WITH changed AS (
        UPDATE devices d SET ${CHANGES[change]}, updated_at = now()
        WHERE d.id = ${id}::uuid AND d.status <> 'deleted' AND ${ownedBy(owner)} RETURNING d.id
      )
      SELECT EXISTS (SELECT 1 FROM changed) AS changed FROM devices d WHERE d.id = ${id}::uuid AND d.status <> 'deleted'`,
  );
  const row = rows[0];
  if (row === undefined) return 'missing';
  return row.changed ? 'changed' : 'foreign';
}

function ownedBy(owner: Ownership): Prisma.Sql {
  if (owner.kind === 'all') return Prisma.sql`true`;
  return owner.tenantId === null ? Prisma.sql`d.tenant_id IS NULL` : Prisma.sql`d.tenant_id = ${owner.tenantId}`;
}
