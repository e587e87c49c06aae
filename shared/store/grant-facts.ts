import { Prisma } from '../../prisma/generated/client.ts';
import type { ExistingRequest, GatheredRequest, UserFacts } from '../allocation/facts.ts';
import type { GroupFacts } from '../allocation/plan-group.ts';
import { isErrorCode } from '../errors.ts';
import { RESOURCE_BASED, type Strategy } from '../placement/strategy.ts';
import { limitsOf } from '../quota/decide-limits.ts';
import type { Limits } from '../quota/limits.ts';
import { BY_INDEX } from './by-index.ts';
import type { Transaction } from './store.ts';
import { SOMEBODY_WAITS } from './unpark.ts';

/**
 * Takes the lock of every user of the group, in the order of their ids so that two groups never wait for each other,
 * and remembers the limits the quota service gave, and the first tenant that was stated for a user. `ON CONFLICT … DO UPDATE` locks the row even where its WHERE keeps
 * it from being written, so a known user with unchanged limits costs a lock and no write.
 */
export async function lockUsers(tx: Transaction, group: readonly GatheredRequest[]): Promise<void> {
  const users = new Map<string, { id: string; tenant_id: string | null; limits: Limits | null }>();
  for (const { request, quota } of group) {
    const { userId: id, tenantId } = request;
    users.set(id, {
      id,
      tenant_id: tenantId ?? users.get(id)?.tenant_id ?? null,
      limits: quota.kind === 'known' ? limitsOf(quota.quota) : null,
    });
  }
  await tx.$executeRaw`
    INSERT INTO users AS u (id, tenant_id, limits, limits_fetched_at)
    SELECT x.id, x.tenant_id, x.limits, CASE WHEN x.limits IS NULL THEN NULL ELSE now() END
    FROM jsonb_to_recordset(${JSON.stringify([...users.values()])}::jsonb) AS x(id text, tenant_id text, limits jsonb), ${BY_INDEX}
    ORDER BY x.id
    ON CONFLICT (id) DO UPDATE SET tenant_id = coalesce(u.tenant_id, excluded.tenant_id), limits = coalesce(excluded.limits, u.limits),
      limits_fetched_at = coalesce(excluded.limits_fetched_at, u.limits_fetched_at), updated_at = now()
    WHERE (excluded.limits IS NOT NULL AND u.limits IS DISTINCT FROM excluded.limits) OR (u.tenant_id IS NULL AND excluded.tenant_id IS NOT NULL)`;
}

interface FactsRow {
  now: Date;
  requests:
    | {
        id: string;
        status: ExistingRequest['status'];
        code: string | null;
        details: ExistingRequest['details'];
        deadline: string | null;
        waiting_since: string | null;
      }[]
    | null;
  users:
    | {
        id: string;
        state: UserFacts['state'];
        in_arrears: boolean;
        limits: Limits | null;
        devices: number;
        cpu: number | null;
        memory: number | null;
        storage: number | null;
        committed: number | null;
      }[]
    | null;
  lasts: { user_id: string; device_id: string; region?: string | null }[] | null;
  tenants: string[] | null;
  reservations_ahead: boolean;
  somebody_waits: boolean;
}

/**
 * Reads what the decision needs. To be called after `lockUsers`, as a statement of its own: its snapshot is then younger
 * than the locks, so the live allocations it counts cannot change before the commit. Requests are locked in the order of
 * their ids. The LIMITs keep the planner from turning one look-up per id into a walk of a whole index, and only one index
 * has `ended_at IS NULL` for its condition: a plan made for empty tables could not tell apart those that say `status`.
 *
 * @param strategy  in force: it may want to know more
 * @param priced    also what the terms of the devices held cost
 */
export async function readGroupFacts(
  tx: Transaction,
  group: readonly GatheredRequest[],
  strategy: Strategy = RESOURCE_BASED,
  priced = false,
): Promise<GroupFacts> {
  const requestIds = group.map(({ request }) => request.requestId).toSorted();
  const userIds = [...new Set(group.map(({ request }) => request.userId))];
  const tenantIds = [...new Set(group.flatMap(({ request }) => request.tenantId ?? []))];
  const local = strategy.type === 'locality_aware';
  const asksLast = group.filter(({ request }) => local || request.asked.devicePreferences?.sameDeviceAsLast === true);
  const askLast = [...new Set(asksLast.map(({ request }) => request.userId))];
  // Only who has no known quota is decided by the limits of before.
  const limits = group.every(({ quota }) => quota.kind === 'known') ? Prisma.sql`NULL::jsonb` : Prisma.sql`limits`;
  const [row] = await tx.$queryRaw<FactsRow[]>`
    SELECT date_trunc('milliseconds', now()) AS now,
      (SELECT json_agg(r) FROM unnest(${requestIds}::uuid[]) AS asked(id) CROSS JOIN LATERAL (
        SELECT id, status, code, details, deadline, waiting_since FROM requests WHERE id = asked.id LIMIT 1 FOR UPDATE) r) AS requests,
      (SELECT json_agg(f) FROM (
        SELECT u.*, held.* FROM unnest(${userIds}::text[]) AS asking(id)
        CROSS JOIN LATERAL (
          SELECT id, state, arrears_since IS NOT NULL AS in_arrears, ${limits} AS limits FROM users WHERE id = asking.id LIMIT 1) u
        CROSS JOIN LATERAL (
          SELECT count(*) AS devices, sum(cpu_cores) AS cpu, sum(memory_mb) AS memory, sum(storage_mb) AS storage,
            ${priced ? COMMITTED : Prisma.sql`NULL::float8`} AS committed
          FROM allocations WHERE ended_at IS NULL AND user_id = asking.id) held) f) AS users,
      ${lastDevices(askLast, local)} AS lasts,
      ${tenantsOwning(tenantIds)} AS tenants,
      EXISTS (SELECT FROM reservations WHERE status IN ('pending', 'confirmed') AND starts_at < now() + interval '2 days') AS reservations_ahead,
      ${SOMEBODY_WAITS} AS somebody_waits`;
  if (row === undefined) throw new Error('a SELECT without FROM returned no row');
  return toFacts(row);
}

/** What the terms of the allocations of the FROM clause cost. The terms whole: their bills come when they end. */
const COMMITTED = Prisma.sql`sum((SELECT d.cost_per_hour FROM devices d WHERE d.id = device_id) * duration_minutes / 60)`;

function lastDevices(userIds: readonly string[], withRegion: boolean): Prisma.Sql {
  if (userIds.length === 0) return Prisma.sql`NULL::jsonb`;
  const region = withRegion ? Prisma.sql`, (SELECT d.region FROM devices d WHERE d.id = a.device_id) AS region` : Prisma.empty;
  return Prisma.sql`(SELECT jsonb_agg(l) FROM (
    SELECT u.id AS user_id, a.device_id${region} FROM unnest(${userIds}::text[]) AS u(id)
    CROSS JOIN LATERAL (SELECT device_id FROM allocations WHERE user_id = u.id ORDER BY allocated_at DESC, id DESC LIMIT 1) a) l)`;
}

function tenantsOwning(tenantIds: readonly string[]): Prisma.Sql {
  if (tenantIds.length === 0) return Prisma.sql`NULL::jsonb`;
  return Prisma.sql`(SELECT jsonb_agg(t.id) FROM unnest(${tenantIds}::text[]) AS t(id) WHERE EXISTS (SELECT FROM devices WHERE tenant_id = t.id))`;
}

function toFacts(row: FactsRow): GroupFacts {
  const lasts = new Map(row.lasts?.map((last) => [last.user_id, last]));
  return {
    now: row.now,
    existing: new Map(row.requests?.map((request) => [request.id, toExisting(request)])),
    users: new Map(row.users?.map((user) => [user.id, toUser(user, lasts.get(user.id))])),
    tenantsWithDevices: new Set(row.tenants),
    reservationsAhead: row.reservations_ahead,
    somebodyWaits: row.somebody_waits,
  };
}

function toExisting(request: NonNullable<FactsRow['requests']>[number]): ExistingRequest {
  return {
    status: request.status,
    code: request.code !== null && isErrorCode(request.code) ? request.code : null,
    details: request.details,
    deadline: request.deadline === null ? null : new Date(request.deadline),
    waitingSince: request.waiting_since === null ? null : new Date(request.waiting_since),
  };
}

function toUser(user: NonNullable<FactsRow['users']>[number], last: NonNullable<FactsRow['lasts']>[number] | undefined): UserFacts {
  return {
    state: user.state,
    inArrears: user.in_arrears,
    lastKnownLimits: user.limits,
    use: { devices: user.devices, cpuCores: user.cpu ?? 0, memoryMB: user.memory ?? 0, storageMB: user.storage ?? 0 },
    lastDeviceId: last?.device_id ?? null,
    lastRegion: last?.region ?? null,
    committed: user.committed ?? 0,
  };
}
