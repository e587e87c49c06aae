import type { AskedAllocation } from '../allocation/asked.ts';
import type { AllocationRequest } from '../allocation/facts.ts';
import type { Tier } from '../allocation/tier.ts';
import { type ErrorCode, type ErrorDetails, isErrorCode } from '../errors.ts';
import { leaveQueue } from './join-queue.ts';
import { type Reach, withinReach } from './reach.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

export type RequestStatus = 'pending' | 'waiting' | 'granted' | 'refused' | 'cancelled' | 'timed_out';

/** What a request got, with what only its holder may know. Times are instants of the database's clock. */
export interface GrantOfRequest {
  readonly allocationId: string;
  readonly deviceId: string;
  readonly deviceName: string;
  readonly deviceStatus: string;
  readonly allocatedAt: Date;
  readonly expiresAt: Date;
  readonly durationMinutes: number;
  readonly fence: number;
  /** Absent once the allocation has ended or the device was handed on. */
  readonly adbHost: string | null;
  readonly adbPort: number | null;
}

/** A request as it stands. `code`: why it was refused; `reason`: the same in words, or what it waits for. */
export interface RequestState {
  readonly requestId: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: Tier;
  readonly status: RequestStatus;
  readonly asked: AskedAllocation;
  readonly code: ErrorCode | null;
  readonly reason: string | null;
  readonly details: ErrorDetails | undefined;
  readonly createdAt: Date;
  readonly deadline: Date | null;
  readonly decidedAt: Date | null;
  readonly grant: GrantOfRequest | null;
}

/** A request to be remembered. Without a `tenantId` (`null`: there is none) it is for the tenant the user is known with. */
export type NewRequest = Omit<AllocationRequest, 'tenantId'> & { readonly tenantId: string | null | undefined };

/**
 * Remembers a request before it is answered. A repeat with the same id changes nothing.
 *
 * The longest wait counts from now, by the clock of the database.
 *
 * @returns the tenant it is for; nothing if there is a request of this id already
 */
export async function insertRequest(
  store: { readonly prisma: Pick<Transaction, '$queryRaw'> },
  request: NewRequest,
): Promise<{ readonly tenantId: string | null } | undefined> {
  const tenantId = request.tenantId ?? null;
  const [row] = await translated(
    store.prisma.$queryRaw<{ tenantId: string | null }[]>`
      INSERT INTO requests (id, caller, source, user_id, tenant_id, tier, asked, trace_id, deadline)
      VALUES (${request.requestId}::uuid, ${request.caller}, ${request.source}, ${request.userId},
              CASE WHEN ${request.tenantId === undefined}::boolean THEN (SELECT tenant_id FROM users WHERE id = ${request.userId}) ELSE ${tenantId} END, ${request.tier},
              ${JSON.stringify(request.asked)}::jsonb, ${request.traceId ?? null}, now() + make_interval(mins => ${request.asked.maxWaitMinutes}::int))
      ON CONFLICT (id) DO NOTHING RETURNING tenant_id AS "tenantId"`,
  );
  return row;
}

/**
 * Takes back a request that was remembered and could not be taken after all: it never was. Left alone once it is decided
 * or the reconciler has handed it out.
 *
 * @returns whether it is gone
 */
export async function forgetRequest(store: Store, requestId: string): Promise<boolean> {
  const forgotten = await translated(
    store.prisma.$executeRaw`DELETE FROM requests WHERE id = ${requestId}::uuid AND status = 'pending' AND enqueued_at = created_at`,
  );
  return forgotten === 1;
}

interface RequestRow {
  id: string;
  user_id: string;
  tenant_id: string | null;
  tier: Tier;
  status: RequestStatus;
  asked: AskedAllocation;
  code: string | null;
  details: { reason?: string; details?: ErrorDetails } | null;
  created_at: Date;
  deadline: Date | null;
  decided_at: Date | null;
  allocation_id: string | null;
  device_id: string;
  device_name: string;
  device_status: string;
  allocated_at: Date;
  expires_at: Date;
  duration_minutes: number;
  fence: bigint;
  adb_host: string | null;
  adb_port: number | null;
}

/** Reads a request and, once granted, its allocation; nothing if there is none within reach. */
export async function readRequest(store: Store, requestId: string, reach: Reach): Promise<RequestState | undefined> {
  const rows = await translated(
    store.prisma.$queryRaw<RequestRow[]>`
      SELECT r.id, r.user_id, r.tenant_id, r.tier, r.status, r.asked, r.code, r.details, r.created_at, r.deadline, r.decided_at,
             a.id AS allocation_id, a.device_id, a.device_name, d.status AS device_status, a.allocated_at, a.expires_at,
             a.duration_minutes, a.fence,
             CASE WHEN d.allocation_id = a.id THEN d.adb_host END AS adb_host,
             CASE WHEN d.allocation_id = a.id THEN d.adb_port END AS adb_port
      FROM requests r LEFT JOIN allocations a ON a.id = r.allocation_id LEFT JOIN devices d ON d.id = a.device_id
      WHERE r.id = ${requestId}::uuid AND ${withinReach(reach, 'r')}`,
  );
  return rows[0] === undefined ? undefined : toState(rows[0]);
}

/** Cancels a request nobody has decided yet. False: it is decided, or not within reach. */
export async function cancelRequest(store: Store, requestId: string, reach: Reach): Promise<boolean> {
  if (await leaveQueue(store, requestId, reach)) return true;
  const changed = await translated(
    store.prisma.$executeRaw`
      UPDATE requests r SET status = 'cancelled', code = 'REQUEST_CANCELLED', decided_at = now()
      WHERE r.id = ${requestId}::uuid AND r.status = 'pending' AND ${withinReach(reach, 'r')}`,
  );
  // It may have begun to wait between the two looks.
  return changed === 1 || leaveQueue(store, requestId, reach);
}

function toState(row: RequestRow): RequestState {
  return {
    requestId: row.id,
    userId: row.user_id,
    tenantId: row.tenant_id,
    tier: row.tier,
    status: row.status,
    asked: row.asked,
    // What a waiting request waits for is a reason, not a code of the catalogue.
    code: row.decided_at === null || row.code === null ? null : isErrorCode(row.code) ? row.code : 'INTERNAL',
    reason: row.details?.reason ?? (row.status === 'waiting' ? 'POOL_BUSY' : null),
    details: row.details?.details,
    createdAt: row.created_at,
    deadline: row.deadline,
    decidedAt: row.decided_at,
    grant: row.allocation_id === null ? null : toGrant(row, row.allocation_id),
  };
}

function toGrant(row: RequestRow, allocationId: string): GrantOfRequest {
  return {
    allocationId,
    deviceId: row.device_id,
    deviceName: row.device_name,
    deviceStatus: row.device_status,
    allocatedAt: row.allocated_at,
    expiresAt: row.expires_at,
    durationMinutes: row.duration_minutes,
    fence: Number(row.fence),
    adbHost: row.adb_host,
    adbPort: row.adb_port,
  };
}

/** The tenant a user is known with, which is the first that was stated for them; `null`: none; nothing if the user was never seen. */
export async function tenantOfUser(store: Store, userId: string): Promise<string | null | undefined> {
  const rows = await translated(store.prisma.$queryRaw<{ tenant_id: string | null }[]>`SELECT tenant_id FROM users WHERE id = ${userId}`);
  return rows[0]?.tenant_id;
}
