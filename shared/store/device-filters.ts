import { Prisma } from '../../prisma/generated/client.ts';
import type { PreferenceStep } from '../placement/preference-steps.ts';
import type { Preference, Requirement } from '../placement/requirement.ts';

/** "Nobody has it and it could start now": the predicate of every `devices_place_*` index, word for word. */
export const FREE = Prisma.sql`d.status = 'running' AND d.allocation_id IS NULL AND NOT d.draining AND d.cleaning_until IS NULL`;

const TRUE = Prisma.sql`TRUE`;

/** The hard filters of a requirement without the caps of the quota. Only what is asked for appears, so indexes can serve it. */
export function meetsSpecs(need: Requirement): Prisma.Sql {
  return all([
    need.tenantId === null ? Prisma.sql`d.tenant_id IS NULL` : Prisma.sql`(d.tenant_id IS NULL OR d.tenant_id = ${need.tenantId})`,
    need.deviceId === null ? TRUE : Prisma.sql`d.id = ${need.deviceId}::uuid`,
    need.deviceType === null ? TRUE : Prisma.sql`d.type = ${need.deviceType}`,
    need.minCpu > 0 ? Prisma.sql`d.cpu_cores >= ${need.minCpu}` : TRUE,
    need.minMemoryMB > 0 ? Prisma.sql`d.memory_mb >= ${need.minMemoryMB}` : TRUE,
    need.minStorageMB > 0 ? Prisma.sql`d.storage_mb >= ${need.minStorageMB}` : TRUE,
  ]);
}

/** The caps a user's quota puts on one device, and the one their balance puts on its price. */
export function withinCaps({ caps, maxCostPerHour = Infinity }: Requirement): Prisma.Sql {
  const price = maxCostPerHour === Infinity ? TRUE : Prisma.sql`(d.cost_per_hour IS NULL OR d.cost_per_hour <= ${maxCostPerHour}::float8)`;
  return all([
    price,
    atMost(Prisma.sql`d.cpu_cores`, caps.cpuCores),
    atMost(Prisma.sql`d.memory_mb`, caps.memoryMB),
    atMost(Prisma.sql`d.storage_mb`, caps.storageMB),
  ]);
}

/**
 * Free of a reservation during the asked time, and of the gap that was promised to it. A gap is a day at most: the range finds
 * candidates by the index of the exclusion constraint, the line after it is exact. A duration of 0 says that no reservation is
 * ahead anywhere.
 */
export function unreserved(need: Requirement): Prisma.Sql {
  if (need.durationMinutes === 0) return TRUE;
  return Prisma.sql`NOT EXISTS (
    SELECT FROM reservations r WHERE r.device_id = d.id AND r.status IN ('pending', 'confirmed', 'executing')
    AND tstzrange(r.starts_at, r.blocked_until) && tstzrange(now(), now() + make_interval(mins => ${need.durationMinutes}::int) + interval '1 day')
    AND r.starts_at - (r.blocked_until - r.ends_at) < now() + make_interval(mins => ${need.durationMinutes}::int))`;
}

/** The wishes one step insists on. */
export function fulfils(step: PreferenceStep, wish: Preference): Prisma.Sql {
  return all([
    step.has('notAvoided') ? Prisma.sql`d.id <> ALL(${wish.avoidDeviceIds}::uuid[])` : TRUE,
    step.has('lastDevice') ? Prisma.sql`d.id = ${wish.lastDeviceId}::uuid` : TRUE,
    step.has('region') ? Prisma.sql`d.region = ${wish.region}` : TRUE,
    step.has('provider') ? Prisma.sql`d.provider_type = ${wish.providerType}` : TRUE,
    step.has('android') ? Prisma.sql`d.android_version = ${wish.androidVersion}` : TRUE,
  ]);
}

function atMost(column: Prisma.Sql, cap: number): Prisma.Sql {
  return cap === Infinity ? TRUE : Prisma.sql`${column} <= ${cap}`;
}

function all(conditions: readonly Prisma.Sql[]): Prisma.Sql {
  const needed = conditions.filter((condition) => condition !== TRUE);
  return needed.length === 0 ? TRUE : Prisma.join(needed, ' AND ');
}
