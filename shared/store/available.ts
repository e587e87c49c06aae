import { Prisma } from '../../prisma/generated/client.ts';
import { FREE } from './device-filters.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** What of a device anybody may see. */
export interface PublicDevice {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly status: string;
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
  readonly providerType: string;
  readonly androidVersion: string | null;
  readonly region: string | null;
  readonly healthScore: number;
}

/** Which free devices. `tenants`: all, or the shared ones and those of one tenant (`null`: only the shared ones). */
export interface AvailableFilter {
  readonly tenants: { readonly kind: 'all' } | { readonly kind: 'one'; readonly tenantId: string | null };
  readonly deviceType?: string | undefined;
  readonly providerType?: string | undefined;
  readonly region?: string | undefined;
  readonly minCpu?: number | undefined;
  readonly minMemory?: number | undefined;
}

/** The devices somebody could have now, by id. @param after  the last id of the page before */
export async function listAvailable(
  store: Store,
  filter: AvailableFilter,
  limit: number,
  after: string | undefined,
): Promise<{ items: PublicDevice[]; more: boolean }> {
  const later = after === undefined ? Prisma.sql`true` : Prisma.sql`d.id > ${after}::uuid`;
  const rows = await translated(
    store.prisma.$queryRaw<PublicDevice[]>`
      SELECT d.id, d.name, d.type, d.status, d.cpu_cores AS "cpuCores", d.memory_mb AS "memoryMB", d.storage_mb AS "storageMB",
             d.provider_type AS "providerType", d.android_version AS "androidVersion", d.region, d.health_score AS "healthScore"
      FROM devices d WHERE ${matches(filter)} AND ${later} ORDER BY d.id LIMIT ${limit + 1}::int`,
  );
  return { items: rows.slice(0, limit), more: rows.length > limit };
}

/** How many there are. @param most  counting stops there; `null`: all are counted */
export async function countAvailable(store: Store, filter: AvailableFilter, most: number | null): Promise<number> {
  const rows = await translated(
    store.prisma.$queryRaw<{ total: number }[]>`
      SELECT count(*)::int AS total FROM (SELECT 1 FROM devices d WHERE ${matches(filter)} LIMIT ${most}::bigint) AS free`,
  );
  return rows[0]?.total ?? 0;
}

function matches(filter: AvailableFilter): Prisma.Sql {
  const conditions = [FREE, UNRESERVED_NOW, ofTenants(filter.tenants)];
  if (filter.deviceType !== undefined) conditions.push(Prisma.sql`d.type = ${filter.deviceType}`);
  if (filter.providerType !== undefined) conditions.push(Prisma.sql`d.provider_type = ${filter.providerType}`);
  if (filter.region !== undefined) conditions.push(Prisma.sql`d.region = ${filter.region}`);
  if (filter.minCpu !== undefined) conditions.push(Prisma.sql`d.cpu_cores >= ${filter.minCpu}::int`);
  if (filter.minMemory !== undefined) conditions.push(Prisma.sql`d.memory_mb >= ${filter.minMemory}::int`);
  return Prisma.join(conditions, ' AND ');
}

/** A reservation that has begun but is not being used yet; a used one holds its device by an allocation. */
const UNRESERVED_NOW = Prisma.sql`NOT EXISTS (
  SELECT FROM reservations r WHERE r.device_id = d.id AND r.status IN ('pending', 'confirmed')
  AND r.starts_at <= now() AND r.blocked_until > now())`;

function ofTenants(tenants: AvailableFilter['tenants']): Prisma.Sql {
  if (tenants.kind === 'all') return Prisma.sql`true`;
  if (tenants.tenantId === null) return Prisma.sql`d.tenant_id IS NULL`;
  return Prisma.sql`(d.tenant_id IS NULL OR d.tenant_id = ${tenants.tenantId})`;
}
