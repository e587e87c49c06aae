import { Prisma } from '../../prisma/generated/client.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/*
 * Rows of which stories are made. Each is found through an index by what it belongs to, and no list is longer than it can be read.
 */

/** An allocation with what is owed for it. */
export interface AllocationRow {
  readonly id: string;
  readonly requestId: string;
  readonly deviceId: string;
  readonly deviceName: string;
  readonly userId: string;
  readonly tier: string;
  readonly status: string;
  readonly fence: string;
  readonly strategy: string;
  readonly allocatedAt: Date;
  readonly expiresAt: Date;
  readonly endedAt: Date | null;
  readonly endReason: string | null;
  readonly billedSeconds: number | null;
  readonly billing: string | null;
  readonly billingError: string | null;
}

export interface RequestRow {
  readonly id: string;
  readonly userId: string;
  readonly tier: string;
  readonly status: string;
  readonly source: string;
  readonly code: string | null;
  readonly parked: string | null;
  readonly allocationId: string | null;
  readonly createdAt: Date;
  readonly waitingSince: Date | null;
  readonly decidedAt: Date | null;
  readonly estimatedP50: Date | null;
}

export interface ExtensionRow {
  readonly id: string;
  readonly minutes: number;
  readonly automatic: boolean;
  readonly extendedBy: string;
  readonly extendedAt: Date;
}

export interface EventRow {
  readonly id: string;
  readonly channel: string;
  readonly topic: string;
  readonly status: string;
  readonly attempts: number;
  readonly lastError: string | null;
  readonly createdAt: Date;
  readonly deliveredAt: Date | null;
}

export interface ReservationRow {
  readonly id: string;
  readonly userId: string;
  readonly deviceName: string | null;
  readonly status: string;
  readonly startsAt: Date;
  readonly endsAt: Date;
  readonly allocationId: string | null;
}

/** Longest list of a story. */
const MOST = 50;

type By = Readonly<{ id: string } | { deviceId: string } | { userId: string }>;

/** Allocations, the newest first. */
export async function readAllocations(store: Store, by: By): Promise<readonly AllocationRow[]> {
  const [where, order] =
    'id' in by
      ? [Prisma.sql`a.id = ${by.id}::uuid`, Prisma.sql`a.id`]
      : 'deviceId' in by
        ? [Prisma.sql`a.device_id = ${by.deviceId}::uuid`, Prisma.sql`a.fence DESC`]
        : [Prisma.sql`a.user_id = ${by.userId}`, Prisma.sql`a.allocated_at DESC, a.id DESC`];
  return translated(
    store.prisma.$queryRaw<AllocationRow[]>`
      SELECT a.id::text AS id, a.request_id::text AS "requestId", a.device_id::text AS "deviceId", a.device_name AS "deviceName", a.user_id AS "userId", a.tier,
        a.status, a.fence::text AS fence, a.strategy, a.allocated_at AS "allocatedAt", a.expires_at AS "expiresAt", a.ended_at AS "endedAt",
        a.end_reason AS "endReason", l.duration_seconds AS "billedSeconds", l.status AS billing, l.last_error AS "billingError"
      FROM (SELECT * FROM allocations a WHERE ${where} ORDER BY ${order} LIMIT ${MOST}::int) a LEFT JOIN ledger l ON l.allocation_id = a.id ORDER BY ${order}`,
  );
}

/** Requests by their ids, or those of a user that waited or were refused: who was granted one has the allocation to show for it. */
export async function readStoryRequests(
  store: Store,
  by: { readonly ids: readonly string[] } | { readonly userId: string },
): Promise<readonly RequestRow[]> {
  const source =
    'ids' in by
      ? Prisma.sql`SELECT * FROM requests WHERE id = ANY(${by.ids.slice(0, MOST)}::uuid[])`
      : Prisma.sql`(SELECT * FROM requests WHERE user_id = ${by.userId} AND rank_at IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT ${MOST}::int)
          UNION (SELECT * FROM requests WHERE user_id = ${by.userId} AND status = 'refused' ORDER BY decided_at DESC LIMIT ${MOST}::int)`;
  return translated(
    store.prisma.$queryRaw<RequestRow[]>`
      SELECT r.id::text AS id, r.user_id AS "userId", r.tier, r.status, r.source, r.code, r.parked, r.allocation_id::text AS "allocationId",
        r.created_at AS "createdAt", r.waiting_since AS "waitingSince", r.decided_at AS "decidedAt", r.estimated_p50 AS "estimatedP50"
      FROM (${source}) r ORDER BY r.created_at DESC, r.id LIMIT ${MOST}::int`,
  );
}

/** Extensions of an allocation, the first one first. */
export async function readExtensions(store: Store, allocationId: string): Promise<readonly ExtensionRow[]> {
  return translated(
    store.prisma.$queryRaw<ExtensionRow[]>`
      SELECT id::text AS id, minutes, automatic, extended_by AS "extendedBy", extended_at AS "extendedAt"
      FROM extensions WHERE allocation_id = ${allocationId}::uuid ORDER BY extend_count LIMIT ${MOST}::int`,
  );
}

/** Rows of one transaction have numbers close to each other; so many around a report of use are looked through. */
const NEARBY = 1_000;

/**
 * What of these allocations (some, not many) left or is leaving: events, reports of use, notices. An index knows the reports of use and whatever is not
 * delivered yet by the allocation; the events of its grant and its end were written by the same transactions as the reports.
 */
export async function readEvents(store: Store, allocationIds: readonly string[]): Promise<readonly EventRow[]> {
  return translated(
    store.prisma.$queryRaw<EventRow[]>`
      WITH reports AS MATERIALIZED (SELECT id, key FROM outbox WHERE channel = 'usage' AND key = ANY(${allocationIds}::text[])),
      found AS (
        SELECT o.* FROM reports JOIN LATERAL (
          SELECT * FROM outbox o WHERE o.id BETWEEN reports.id - ${NEARBY}::int AND reports.id + ${NEARBY}::int AND (o.key = reports.key OR o.payload ->> 'allocationId' = reports.key)
        ) o ON true
        UNION
        SELECT o.* FROM outbox o WHERE o.channel IN ('event', 'usage', 'notice') AND o.status <> 'delivered' AND o.key = ANY(${allocationIds}::text[])
      )
      SELECT id::text AS id, channel, topic, status, attempts, last_error AS "lastError", created_at AS "createdAt", delivered_at AS "deliveredAt"
      FROM found ORDER BY found.id LIMIT ${MOST}::int`,
  );
}

/** Reservations, the latest first. */
export async function readStoryReservations(store: Store, by: By | { readonly allocationId: string }): Promise<readonly ReservationRow[]> {
  const where =
    'id' in by
      ? Prisma.sql`r.id = ${by.id}::uuid`
      : 'allocationId' in by
        ? Prisma.sql`r.allocation_id = ${by.allocationId}::uuid`
        : 'deviceId' in by
          ? Prisma.sql`r.device_id = ${by.deviceId}::uuid AND r.status IN ('pending', 'confirmed', 'executing')`
          : Prisma.sql`r.user_id = ${by.userId}`;
  return translated(
    store.prisma.$queryRaw<ReservationRow[]>`
      SELECT r.id::text AS id, r.user_id AS "userId", d.name AS "deviceName", r.status, r.starts_at AS "startsAt", r.ends_at AS "endsAt", r.allocation_id::text AS "allocationId"
      FROM (SELECT * FROM reservations r WHERE ${where} ORDER BY r.starts_at DESC, r.id DESC LIMIT ${MOST}::int) r LEFT JOIN devices d ON d.id = r.device_id
      ORDER BY r.starts_at DESC, r.id DESC`,
  );
}

export interface DeviceRow {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly status: string;
  readonly draining: boolean;
  readonly cleaning: boolean;
  readonly providerType: string;
  readonly region: string | null;
  readonly nodeId: string | null;
  readonly cpuCores: number;
  readonly memoryMB: number;
  readonly storageMB: number;
  readonly healthScore: number;
  readonly fence: string;
  readonly allocationId: string | null;
}

/** A device without the way to it. */
export async function readStoryDevice(store: Store, id: string): Promise<DeviceRow | undefined> {
  const [row] = await translated(
    store.prisma.$queryRaw<DeviceRow[]>`
      SELECT id::text AS id, name, type, status, draining, cleaning_until IS NOT NULL AS cleaning, provider_type AS "providerType", region, node_id AS "nodeId",
        cpu_cores AS "cpuCores", memory_mb AS "memoryMB", storage_mb AS "storageMB", health_score AS "healthScore", fence::text AS fence, allocation_id::text AS "allocationId"
      FROM devices WHERE id = ${id}::uuid`,
  );
  return row;
}

export interface UserRow {
  readonly id: string;
  readonly tenantId: string | null;
  readonly state: string;
  readonly arrearsSince: Date | null;
  readonly paymentFailures: number;
}

/** What is known of a user; somebody who only ever was refused may have no row. */
export async function readStoryUser(store: Store, id: string): Promise<UserRow | undefined> {
  const [row] = await translated(
    store.prisma.$queryRaw<UserRow[]>`
      SELECT id, tenant_id AS "tenantId", state, arrears_since AS "arrearsSince", payment_failures AS "paymentFailures" FROM users WHERE id = ${id}`,
  );
  return row;
}
