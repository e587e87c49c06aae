import { Prisma } from '../../prisma/generated/client.ts';
import { estimateStart, KEPT_TO_THE_END, type KeptShare, type RunningLease, type StartEstimate } from '../waitlist/estimate-start.ts';
import type { Parked } from '../waitlist/parked.ts';
import { type MatchingDevices, type WaitReason, waitReason } from '../waitlist/wait-reason.ts';
import { FREE } from './device-filters.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';
import { IN_CLASS } from './waiters.ts';

/** How somebody waits: their place, when a device is expected, and why there is none yet. */
export interface WaitFacts {
  /** How many go before, among those who could take a device it waits for; counted up to 10 000. */
  readonly aheadCount: number;
  readonly reason: WaitReason;
  readonly estimate: StartEstimate | undefined;
  /** By the clock of the database. */
  readonly now: Date;
}

/** Ahead is counted so far: beyond it the exact place says nothing more. */
const MOST_AHEAD = 10_000;
/** Ends, or else held devices of the kind, that are looked through for those of matching devices, and how many of those are enough. */
const ENDS = 5_000;
const MATCHING_ENDS = 1_000;
const RECENT_ENDS = 200;

interface FactsRow {
  now: Date;
  parked: Parked | null;
  ahead: number;
  running: { allocated_at: string; expires_at: string }[] | null;
  kept: KeptShare | { p50: null; p90: null };
  devices: MatchingDevices;
}

/** The type as a list of which it is one, so that an index by type serves whoever takes any. */
const FITS_MINE = Prisma.sql`(d.tenant_id IS NULL OR d.tenant_id = m.tenant_id)
  AND d.type = ANY (CASE m.needs[1] WHEN 0 THEN ARRAY['phone', 'tablet'] ELSE ARRAY[(ARRAY['phone', 'tablet'])[m.needs[1]]] END)
  AND d.cpu_cores >= m.needs[2] AND d.memory_mb >= m.needs[3] AND d.storage_mb >= m.needs[4]
  AND d.cpu_cores <= m.needs[5] AND d.memory_mb <= m.needs[6] AND d.storage_mb <= m.needs[7]`;

/** One of mine whose lease ends. */
const IN_USE = Prisma.sql`${FITS_MINE} AND d.status = 'running' AND NOT d.draining`;

/** Whether there is a device for me like that: the one I want, or any. Apart, so that each is found by its index. */
const matching = (condition: Prisma.Sql) => Prisma.sql`
  (EXISTS (SELECT FROM m JOIN devices d ON m.wanted_device IS NULL AND ${FITS_MINE} WHERE ${condition})
   OR EXISTS (SELECT FROM m JOIN devices d ON d.id = m.wanted_device AND ${FITS_MINE} WHERE ${condition}))`;

/**
 * Whether a device, free at `from`, is kept for a reservation too soon for me, the gap promised to it included: as a grant finds it
 * (`unreserved` of device-filters.ts).
 */
const keptAt = (deviceId: Prisma.Sql, from: Prisma.Sql, besides = Prisma.empty) => Prisma.sql`EXISTS (
    SELECT FROM reservations r WHERE r.device_id = ${deviceId} AND r.status IN ('pending', 'confirmed', 'executing')
    ${besides}
    AND tstzrange(r.starts_at, r.blocked_until) && tstzrange(${from}, ${from} + make_interval(mins => m.minutes) + interval '1 day')
    AND r.starts_at - (r.blocked_until - r.ends_at) < ${from} + make_interval(mins => m.minutes))`;

/** A lease after which its device could be mine. The reservation it is of itself ends with it. */
const LEAVES_TO_ME = Prisma.sql`NOT ${keptAt(Prisma.sql`a.device_id`, Prisma.sql`a.expires_at`, Prisma.sql`AND r.allocation_id IS DISTINCT FROM a.id`)}`;

/**
 * The leases of my devices that leave them to me, those that end first. They are picked out of the next ends of the fleet; if
 * those are mostly not mine, also out of the held devices of my kind, of which there may be few. Each row is looked up by its id,
 * which the LIMIT makes sure of: the planner takes one device to fit, and would compare every lease with all that do. The CASE has
 * the ends counted only if they may be too few.
 */
const LEASES = Prisma.sql`ended_next AS MATERIALIZED (
        SELECT e.* FROM m CROSS JOIN LATERAL (
          SELECT a.id, a.allocated_at, a.expires_at FROM (
            SELECT id, device_id, allocated_at, expires_at FROM allocations WHERE status = 'allocated' ORDER BY expires_at, id LIMIT ${ENDS}::int) a
          CROSS JOIN LATERAL (SELECT FROM devices d WHERE d.id = a.device_id AND ${IN_USE} LIMIT 1) mine
          WHERE ${LEAVES_TO_ME} ORDER BY a.expires_at LIMIT ${MATCHING_ENDS}::int) e
        WHERE m.wanted_device IS NULL
      ), of_kind AS MATERIALIZED (
        SELECT e.* FROM m CROSS JOIN LATERAL (
          SELECT d.allocation_id FROM devices d WHERE d.allocation_id IS NOT NULL AND ${IN_USE} LIMIT ${ENDS}::int) d
        CROSS JOIN LATERAL (
          SELECT a.id, a.allocated_at, a.expires_at FROM allocations a WHERE a.id = d.allocation_id AND a.status = 'allocated' AND ${LEAVES_TO_ME} LIMIT 1) e
        WHERE CASE WHEN m.wanted_device IS NULL AND (SELECT count(*) FROM ended_next) < ${MATCHING_ENDS}::int
          THEN EXISTS (SELECT FROM allocations WHERE status = 'allocated' ORDER BY expires_at, id LIMIT 1 OFFSET ${ENDS}::int) ELSE FALSE END
      ), leases AS (
        SELECT * FROM ended_next UNION SELECT * FROM of_kind UNION
        SELECT a.id, a.allocated_at, a.expires_at FROM m JOIN devices d ON d.id = m.wanted_device AND ${IN_USE}
        JOIN allocations a ON a.id = d.allocation_id AND a.status = 'allocated' WHERE ${LEAVES_TO_ME}
      )`;

/** Whether two classes may compete for a device. */
const OVERLAPS = Prisma.sql`(c.needs[1] = 0 OR m.needs[1] = 0 OR c.needs[1] = m.needs[1]) AND c.needs[2] <= m.needs[5] AND m.needs[2] <= c.needs[5]
  AND c.needs[3] <= m.needs[6] AND m.needs[3] <= c.needs[6] AND c.needs[4] <= m.needs[7] AND m.needs[4] <= c.needs[7]`;

/**
 * How a waiting request waits; nothing unless it does. The cost is bounded, however many wait: classes are jumped through
 * in the index, and whoever is ahead is counted up to a limit.
 */
export async function readWaitFacts(store: Store, requestId: string): Promise<WaitFacts | undefined> {
  const reservedSoon = keptAt(Prisma.sql`d.id`, Prisma.sql`now()`);
  const [row] = await translated(
    store.prisma.$queryRaw<FactsRow[]>`
      WITH RECURSIVE m AS MATERIALIZED (
        SELECT id, needs, tenant_id, wanted_device, rank_at, parked,
          CASE WHEN jsonb_typeof(asked -> 'durationMinutes') = 'number' THEN (asked ->> 'durationMinutes')::int ELSE 60 END AS minutes
        FROM requests WHERE id = ${requestId}::uuid AND status = 'waiting'
      ), classes AS (
        (SELECT r.needs FROM requests r WHERE ${IN_CLASS} ORDER BY r.needs LIMIT 1)
        UNION ALL
        SELECT next.needs FROM classes c CROSS JOIN LATERAL (
          SELECT r.needs FROM requests r WHERE ${IN_CLASS} AND r.needs > c.needs ORDER BY r.needs LIMIT 1) next
      ), ${LEASES}
      SELECT clock_timestamp() AS now, m.parked,
        (SELECT count(*)::int FROM (
          SELECT 1 FROM classes c CROSS JOIN LATERAL (
            SELECT FROM requests r WHERE ${IN_CLASS} AND r.needs = c.needs AND (r.rank_at, r.id) < (m.rank_at, m.id) LIMIT ${MOST_AHEAD}::int) earlier
          WHERE m.wanted_device IS NULL AND ${OVERLAPS}
          UNION ALL
          SELECT 1 FROM requests r WHERE r.status = 'waiting' AND r.parked IS NULL AND r.wanted_device IS NOT NULL
            AND r.wanted_device = m.wanted_device AND (r.rank_at, r.id) < (m.rank_at, m.id)
          LIMIT ${MOST_AHEAD}::int) ahead) AS ahead,
        (SELECT json_agg(e) FROM (SELECT allocated_at, expires_at FROM leases ORDER BY expires_at LIMIT ${MATCHING_ENDS}::int) e) AS running,
        (SELECT json_build_object('p50', percentile_cont(0.5) WITHIN GROUP (ORDER BY share), 'p90', percentile_cont(0.9) WITHIN GROUP (ORDER BY share)) FROM (
          SELECT least(1, extract(epoch FROM ended_at - allocated_at) / extract(epoch FROM expires_at - allocated_at)) AS share
          FROM allocations WHERE status <> 'allocated' ORDER BY ended_at DESC, id DESC LIMIT ${RECENT_ENDS}::int) recent) AS kept,
        json_build_object(
          'any', ${matching(Prisma.sql`d.status <> 'deleted'`)},
          'held', ${matching(Prisma.sql`d.allocation_id IS NOT NULL AND NOT d.draining`)},
          'free', ${matching(Prisma.sql`${FREE} AND NOT ${reservedSoon}`)},
          'reserved', ${matching(Prisma.sql`${FREE} AND ${reservedSoon}`)},
          'cleaning', ${matching(Prisma.sql`d.cleaning_until IS NOT NULL AND d.status = 'running'`)},
          'draining', ${matching(Prisma.sql`d.draining AND d.status = 'running'`)}) AS devices
      FROM m`,
  );
  return row === undefined ? undefined : toFacts(row);
}

function toFacts({ now, parked, ahead, running, kept, devices }: FactsRow): WaitFacts {
  const leases = (running ?? []).map(
    (lease): RunningLease => ({ allocatedAt: new Date(lease.allocated_at), expiresAt: new Date(lease.expires_at) }),
  );
  const share = kept.p50 === null ? KEPT_TO_THE_END : kept;
  return { aheadCount: ahead, reason: waitReason(parked, devices), estimate: estimateStart(ahead + 1, leases, share, now), now };
}

/** How a request waits, to be told to it; the first estimate is remembered: what comes of it says how good estimates are. */
export async function tellEstimate(store: Store, requestId: string): Promise<WaitFacts | undefined> {
  const facts = await readWaitFacts(store, requestId);
  if (facts?.estimate === undefined) return facts;
  const { p50, p90 } = facts.estimate;
  await translated(
    store.prisma.$executeRaw`
      UPDATE requests SET estimated_p50 = ${p50}::timestamptz, estimated_p90 = ${p90}::timestamptz
      WHERE id = ${requestId}::uuid AND status = 'waiting' AND estimated_p50 IS NULL`,
  );
  return facts;
}
