import type { AllocateOutcome, EndedRequest } from '../allocation/outcome.ts';
import { isErrorCode } from '../errors.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

interface OutcomeRow {
  id: string;
  source: EndedRequest['source'];
  reply_to: string | null;
  status: 'pending' | 'waiting' | 'granted' | 'refused' | 'cancelled' | 'timed_out';
  code: string | null;
  details: { reason?: string; details?: Record<string, unknown> } | null;
  allocation_id: string | null;
  device_id: string | null;
  device_name: string | null;
  device_status: string | null;
  user_id: string;
  tenant_id: string | null;
  allocated_at: Date | null;
  expires_at: Date | null;
  duration_minutes: number | null;
  fence: bigint | null;
  strategy: string | null;
}

/**
 * The stored outcomes of requests: what a repeat is answered, and what a caller reads after it was told "done".
 *
 * @returns one outcome for each request that has one; a pending or unknown request has none
 */
export async function readOutcomes(tx: Pick<Transaction, '$queryRaw'>, requestIds: readonly string[]): Promise<AllocateOutcome[]> {
  return (await readRows(tx, requestIds)).flatMap((row) => toOutcome(row) ?? []);
}

/** Those of the requests that are over, with whom to tell: for `announceEnded`. */
export async function readEnded(store: Store, requestIds: readonly string[]): Promise<EndedRequest[]> {
  return (await translated(readRows(store.prisma, requestIds))).flatMap((row) => {
    const outcome = toOutcome(row);
    if (outcome === undefined || outcome.status === 'waiting') return [];
    return [{ requestId: row.id, source: row.source, replyTo: row.reply_to, outcome }];
  });
}

async function readRows(tx: Pick<Transaction, '$queryRaw'>, requestIds: readonly string[]): Promise<OutcomeRow[]> {
  if (requestIds.length === 0) return [];
  return tx.$queryRaw<OutcomeRow[]>`
    SELECT r.id, r.source, r.reply_to, r.status, r.code, r.details, a.id AS allocation_id, a.device_id, a.device_name, d.status AS device_status,
           r.user_id, r.tenant_id, a.allocated_at, a.expires_at, a.duration_minutes, a.fence, a.strategy
    FROM requests r LEFT JOIN allocations a ON a.id = r.allocation_id LEFT JOIN devices d ON d.id = a.device_id
    WHERE r.id = ANY(${requestIds}::uuid[])`;
}

function toOutcome(row: OutcomeRow): AllocateOutcome | undefined {
  switch (row.status) {
    case 'pending':
      return undefined;
    case 'waiting':
      return { status: 'waiting', requestId: row.id, reason: row.details?.reason ?? 'POOL_BUSY' };
    case 'granted':
      return grantedOf(row);
    case 'refused':
      return {
        status: 'refused',
        requestId: row.id,
        code: row.code !== null && isErrorCode(row.code) ? row.code : 'INTERNAL',
        reason: row.details?.reason ?? '',
        ...(row.details?.details === undefined ? {} : { details: row.details.details }),
      };
    case 'cancelled':
      return { status: 'cancelled', requestId: row.id, code: 'REQUEST_CANCELLED' };
    case 'timed_out':
      return { status: 'timed_out', requestId: row.id, code: 'REQUEST_TIMED_OUT' };
  }
}

function grantedOf(row: OutcomeRow): AllocateOutcome {
  const { allocation_id, device_id, device_name, device_status, allocated_at, expires_at, duration_minutes, fence, strategy } = row;
  if (allocation_id === null || device_id === null || allocated_at === null || expires_at === null) {
    throw new Error(`request ${row.id} is granted but its allocation is gone`);
  }
  return {
    status: 'granted',
    requestId: row.id,
    allocation: {
      allocationId: allocation_id,
      deviceId: device_id,
      deviceName: device_name ?? '',
      deviceStatus: device_status ?? '',
      userId: row.user_id,
      tenantId: row.tenant_id,
      allocatedAt: allocated_at.toISOString(),
      expiresAt: expires_at.toISOString(),
      durationMinutes: duration_minutes ?? 0,
      fence: Number(fence),
      strategy: strategy ?? '',
    },
  };
}
