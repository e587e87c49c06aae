import { Prisma } from '../../prisma/generated/client.ts';
import type { Store } from './store.ts';

/** One rule, checked: how often it is broken and by which rows (at most five). */
export interface InvariantCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly violations: number;
  readonly sample: readonly string[];
}

interface Rule {
  readonly name: string;
  /** A query whose every row, a text `what`, is one violation. */
  readonly broken: Prisma.Sql;
}

/** An end may be this late, and still wait for its outbox row this long, s. */
const LATENESS_S = 15;
const LATENESS = Prisma.sql`make_interval(secs => ${LATENESS_S})`;

/** Reservations that are not over, in the words of their partial indexes: few, however many there were. */
const ACTIVE = Prisma.sql`(status = ANY (ARRAY['pending', 'confirmed']) OR status = 'executing')`;

const RULES: readonly Rule[] = [
  {
    name: 'one live allocation per device',
    broken: Prisma.sql`SELECT device_id::text AS what FROM allocations WHERE status = 'allocated' GROUP BY device_id HAVING count(*) > 1`,
  },
  {
    name: 'leases of a device never overlap in time',
    broken: Prisma.sql`SELECT id::text AS what FROM (
      SELECT id, allocated_at, lag(coalesce(ended_at, 'infinity')) OVER (PARTITION BY device_id ORDER BY fence) AS previous_end FROM allocations) leases
      WHERE allocated_at < previous_end`,
  },
  {
    name: 'fences of a device rise and none is above the device',
    broken: Prisma.sql`SELECT id::text AS what FROM (
      SELECT a.id, a.fence, a.allocated_at, d.fence AS device_fence, lag(a.allocated_at) OVER (PARTITION BY a.device_id ORDER BY a.fence) AS before
      FROM allocations a JOIN devices d ON d.id = a.device_id) f WHERE fence > device_fence OR allocated_at < before`,
  },
  {
    name: 'device and live allocation agree',
    broken: Prisma.sql`SELECT coalesce(d.id, a.device_id)::text AS what
      FROM (SELECT id, allocation_id, fence FROM devices WHERE allocation_id IS NOT NULL) d
      FULL JOIN (SELECT id, device_id, fence FROM allocations WHERE status = 'allocated') a ON a.id = d.allocation_id AND a.device_id = d.id
      WHERE d.id IS NULL OR a.id IS NULL OR d.fence <> a.fence`,
  },
  {
    name: 'no live allocation is past its end',
    broken: Prisma.sql`SELECT id::text AS what FROM allocations WHERE status = 'allocated' AND expires_at < now() - make_interval(secs => ${LATENESS_S})`,
  },
  {
    name: 'no user holds more than the last known limits',
    broken: Prisma.sql`SELECT a.user_id AS what FROM allocations a JOIN users u ON u.id = a.user_id
      WHERE a.status = 'allocated' AND u.limits IS NOT NULL
      GROUP BY a.user_id, u.limits HAVING count(*) > (u.limits ->> 'maxDevices')::float8 OR sum(a.cpu_cores) > (u.limits ->> 'totalCpu')::float8
        OR sum(a.memory_mb) > (u.limits ->> 'totalMemoryMB')::float8 OR sum(a.storage_mb) > (u.limits ->> 'totalStorageMB')::float8
        OR max(a.cpu_cores) > (u.limits ->> 'maxCpuPerDevice')::float8 OR max(a.memory_mb) > (u.limits ->> 'maxMemoryMBPerDevice')::float8
        OR max(a.storage_mb) > (u.limits ->> 'maxStorageMBPerDevice')::float8`,
  },
  {
    name: 'no held device is being cleaned',
    broken: Prisma.sql`SELECT id::text AS what FROM devices WHERE cleaning_until IS NOT NULL AND allocation_id IS NOT NULL`,
  },
  {
    name: 'reserved ranges of a device never overlap',
    broken: Prisma.sql`SELECT id::text AS what FROM (
      SELECT id, starts_at, max(blocked_until) OVER (PARTITION BY device_id ORDER BY starts_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS blocked
      FROM reservations WHERE ${ACTIVE} AND device_id IS NOT NULL) ahead WHERE starts_at < blocked`,
  },
  {
    name: 'no reservation is left lying after its time has come',
    broken: Prisma.sql`SELECT id::text AS what FROM reservations WHERE status = ANY (ARRAY['pending', 'confirmed'])
      AND starts_at < now() - ${LATENESS} AND next_attempt_at < now() - ${LATENESS}`,
  },
  {
    name: 'no request is undecided past its deadline',
    broken: Prisma.sql`SELECT id::text AS what FROM requests WHERE status = ANY (ARRAY['pending', 'waiting']) AND deadline < now() - ${LATENESS}`,
  },
  {
    name: 'a granted request has exactly its allocation',
    broken: Prisma.sql`SELECT r.id::text AS what FROM requests r LEFT JOIN allocations a ON a.request_id = r.id
      WHERE (r.status = 'granted') <> (a.id IS NOT NULL) OR r.allocation_id IS DISTINCT FROM a.id`,
  },
  {
    name: 'no request is granted after its deadline',
    broken: Prisma.sql`SELECT id::text AS what FROM requests WHERE status = 'granted' AND decided_at > deadline`,
  },
  {
    name: 'one ledger row per ended allocation, to the second',
    broken: Prisma.sql`SELECT coalesce(a.id, l.allocation_id)::text AS what
      FROM (SELECT * FROM allocations WHERE status <> 'allocated') a FULL JOIN ledger l ON l.allocation_id = a.id
      WHERE a.id IS NULL OR l.allocation_id IS NULL OR l.duration_seconds <> floor(extract(epoch FROM a.ended_at - a.allocated_at)) OR l.end_reason IS DISTINCT FROM a.end_reason`,
  },
  {
    name: 'extensions add up, and each has its event',
    broken: Prisma.sql`SELECT a.id::text AS what FROM allocations a JOIN (
        SELECT e.allocation_id, count(*) AS extensions, max(e.extend_count) AS last, max(e.new_expires_at) AS ends, max(e.total_minutes) AS minutes,
          count(*) FILTER (WHERE e.old_expires_at IS DISTINCT FROM e.previous_end AND e.previous_end IS NOT NULL) AS gaps,
          count(*) FILTER (WHERE e.extended_at > now() - interval '1 day') AS recent
        FROM (SELECT *, lag(new_expires_at) OVER (PARTITION BY allocation_id ORDER BY extend_count) AS previous_end FROM extensions) e GROUP BY e.allocation_id
      ) e ON e.allocation_id = a.id LEFT JOIN (
        SELECT key, count(*) AS told FROM outbox WHERE topic = 'scheduler.allocation.extended' AND created_at > now() - interval '1 day' GROUP BY key
      ) o ON o.key = a.id::text
      WHERE e.extensions <> a.extend_count OR e.last <> a.extend_count OR e.ends <> a.expires_at OR e.minutes <> a.duration_minutes OR e.gaps > 0
        OR a.expires_at <> a.allocated_at + make_interval(mins => a.duration_minutes) OR a.ended_at > a.expires_at AND a.status = 'expired'
        OR e.recent <> coalesce(o.told, 0)
      UNION ALL SELECT a.id::text FROM allocations a WHERE a.extend_count > 0 AND NOT EXISTS (SELECT FROM extensions e WHERE e.allocation_id = a.id)`,
  },
  {
    name: 'every grant and every end has one event and one usage report',
    broken: Prisma.sql`SELECT a.id::text AS what FROM allocations a LEFT JOIN (
        SELECT key, count(*) FILTER (WHERE topic = 'device.allocated') AS allocated, count(*) FILTER (WHERE topic = 'increment') AS incremented,
               count(*) FILTER (WHERE topic = 'device.released') AS released, count(*) FILTER (WHERE topic = 'decrement') AS decremented
        FROM outbox WHERE created_at > now() - interval '1 day' GROUP BY key) o ON o.key = a.id::text
      WHERE a.allocated_at > now() - interval '1 day' AND (
        (coalesce(o.allocated, 0), coalesce(o.incremented, 0)) <> (1, 1)
        OR (a.status <> 'allocated') AND (coalesce(o.released, 0), coalesce(o.decremented, 0)) <> (1, 1)
        OR (a.status = 'allocated') AND (coalesce(o.released, 0), coalesce(o.decremented, 0)) <> (0, 0))`,
  },
  {
    name: 'no lease reaches into a reservation of its device',
    broken: Prisma.sql`SELECT a.id::text AS what FROM allocations a JOIN reservations r ON r.device_id = a.device_id AND r.allocation_id IS DISTINCT FROM a.id
      WHERE a.status = 'allocated' AND r.status IN ('pending', 'confirmed', 'executing')
        AND a.expires_at > r.starts_at - (r.blocked_until - r.ends_at) AND a.allocated_at < r.blocked_until`,
  },
  {
    name: 'a reservation is executing as long as its allocation lives',
    broken: Prisma.sql`SELECT r.id::text AS what FROM reservations r JOIN allocations a ON a.id = r.allocation_id
      WHERE (r.status = 'executing') <> (a.status = 'allocated')`,
  },
];

/**
 * Checks every rule against one snapshot, read-only.
 *
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function checkInvariants(store: Store): Promise<{ ok: boolean; checks: InvariantCheck[] }> {
  const checks = await store.transaction(async (tx) => {
    await tx.$executeRaw`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`;
    const results: InvariantCheck[] = [];
    for (const { name, broken } of RULES) {
      const [row] = await tx.$queryRaw<{ violations: number; sample: string[] | null }[]>`
        WITH broken AS MATERIALIZED (${broken})
        SELECT (SELECT count(*)::int FROM broken) AS violations, (SELECT array_agg(what) FROM (SELECT what FROM broken LIMIT 5) s) AS sample`;
      const violations = row?.violations ?? 0;
      results.push({ name, ok: violations === 0, violations, sample: row?.sample ?? [] });
    }
    return results;
  });
  return { ok: checks.every((check) => check.ok), checks };
}
