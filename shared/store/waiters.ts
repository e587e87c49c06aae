import { Prisma } from '../../prisma/generated/client.ts';
import { type AskedAllocation, askedAllocation } from '../allocation/asked.ts';
import type { AllocationRequest } from '../allocation/facts.ts';
import type { Tier } from '../allocation/tier.ts';
import { preferenceOf } from '../placement/requirement.ts';
import { readTolerantly } from '../read-tolerantly.ts';
import type { FreeDevice, Waiter } from '../waitlist/match-devices.ts';
import { type Needs, typeNumberOf } from '../waitlist/needs.ts';
import type { Transaction } from './store.ts';

/** A waiting request as its row tells it: its place, its words, whom to tell, when it was expected to be granted. */
export interface WaitingRow extends Waiter {
  readonly request: AllocationRequest;
  readonly replyTo: string | null;
  readonly createdAt: Date;
  /** What is wrong with its words, if they cannot be read: no decision can be made about it. */
  readonly unreadable: string | undefined;
  readonly estimate: { readonly p50: Date; readonly p90: Date } | null;
}

interface WaiterRow {
  id: string;
  caller: string;
  source: AllocationRequest['source'];
  user_id: string;
  tenant_id: string | null;
  tier: Tier;
  asked: unknown;
  trace_id: string | null;
  reply_to: string | null;
  created_at: Date;
  rank_at: Date;
  needs: Needs;
  wanted_device: string | null;
  estimated_p50: Date | null;
  estimated_p90: Date | null;
}

const COLUMNS = Prisma.sql`r.id, r.caller, r.source, r.user_id, r.tenant_id, r.tier, r.asked, r.trace_id, r.reply_to, r.created_at, r.rank_at,
  r.needs, r.wanted_device, r.estimated_p50, r.estimated_p90`;

/** Who may be served, by class: the predicate of `requests_waiting_in_class` and `requests_waiting_of_tenant`, word for word. */
export const IN_CLASS = Prisma.sql`r.status = 'waiting' AND r.parked IS NULL AND r.wanted_device IS NULL`;
const FOR_DEVICE = Prisma.sql`r.status = 'waiting' AND r.parked IS NULL AND r.wanted_device IS NOT NULL`;

/** Whether a device of `free` (type as a number, sizes) is within the needs `needs` of a class. */
const FITS = Prisma.sql`(c.needs[1] = 0 OR c.needs[1] = free.type) AND free.cpu BETWEEN c.needs[2] AND c.needs[5]
  AND free.memory BETWEEN c.needs[3] AND c.needs[6] AND free.storage BETWEEN c.needs[4] AND c.needs[7]`;

/**
 * The first waiting requests of each class that one of the devices suits: all that `matchDevices` can choose from.
 *
 * Classes are found by jumping from one to the next in the index, and of each only the first are read, so the cost
 * depends on how many different needs there are, not on how many wait.
 *
 * @param perClass  most of one class; as many as there are devices is enough
 * @param before    only those that go before this rank
 */
export async function readWaiters(
  tx: Pick<Transaction, '$queryRaw'>,
  devices: readonly FreeDevice[],
  perClass: number,
  before?: Date,
): Promise<WaitingRow[]> {
  if (devices.length === 0) return [];
  const longest = Math.max(...devices.map(({ freeMinutes }) => freeMinutes));
  const may = Prisma.join(
    [
      // Compared as JSON: whatever stands there, the others go on.
      longest === Infinity ? Prisma.sql`TRUE` : Prisma.sql`r.asked -> 'durationMinutes' <= to_jsonb(${longest}::float8)`,
      before === undefined ? Prisma.sql`TRUE` : Prisma.sql`r.rank_at < ${before}::timestamptz`,
    ],
    ' AND ',
  );
  const first = Prisma.sql`ORDER BY r.rank_at, r.id LIMIT ${perClass}::int`;
  const owned = devices.some(({ tenantId }) => tenantId !== null);
  const rows = await tx.$queryRaw<WaiterRow[]>`
    WITH RECURSIVE free AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset(${JSON.stringify(devices.map(toFree))}::jsonb) AS x(id uuid, tenant text, type int, cpu int, memory int, storage int)
    ), classes AS (
      (SELECT r.needs FROM requests r WHERE ${IN_CLASS} ORDER BY r.needs LIMIT 1)
      UNION ALL
      SELECT next.needs FROM classes c CROSS JOIN LATERAL (
        SELECT r.needs FROM requests r WHERE ${IN_CLASS} AND r.needs > c.needs ORDER BY r.needs LIMIT 1) next
    ) ${owned ? CLASSES_OF_OWNERS : Prisma.empty}
    SELECT w.* FROM classes c CROSS JOIN LATERAL (
      SELECT ${COLUMNS} FROM requests r WHERE ${IN_CLASS} AND r.needs = c.needs AND ${may} ${first}) w
    WHERE EXISTS (SELECT FROM free WHERE free.tenant IS NULL AND ${FITS})
    UNION ALL
    SELECT w.* FROM free CROSS JOIN LATERAL (
      SELECT ${COLUMNS} FROM requests r WHERE ${FOR_DEVICE} AND r.wanted_device = free.id AND ${may} ${first}) w
    ${
      owned
        ? Prisma.sql`UNION ALL
    SELECT w.* FROM owners c CROSS JOIN LATERAL (
      SELECT ${COLUMNS} FROM requests r WHERE ${IN_CLASS} AND r.tenant_id = c.tenant AND r.needs = c.needs AND ${may} ${first}) w
    WHERE EXISTS (SELECT FROM free WHERE free.tenant = c.tenant AND ${FITS})`
        : Prisma.empty
    }`;
  return [...new Map(rows.map((row) => [row.id, toWaiting(row)])).values()];
}

/** The classes of the tenants whose own devices are free: only they may have those. */
const CLASSES_OF_OWNERS = Prisma.sql`, owners AS (
      (SELECT own.tenant, head.needs FROM (SELECT DISTINCT tenant FROM free WHERE tenant IS NOT NULL) own CROSS JOIN LATERAL (
        SELECT r.needs FROM requests r WHERE ${IN_CLASS} AND r.tenant_id = own.tenant ORDER BY r.needs LIMIT 1) head)
      UNION ALL
      SELECT c.tenant, next.needs FROM owners c CROSS JOIN LATERAL (
        SELECT r.needs FROM requests r WHERE ${IN_CLASS} AND r.tenant_id = c.tenant AND r.needs > c.needs ORDER BY r.needs LIMIT 1) next
    )`;

const ANYTHING = askedAllocation.parse({});

function toFree({ id, tenantId, type, cpuCores, memoryMB, storageMB }: FreeDevice) {
  return { id, tenant: tenantId, type: typeNumberOf(type), cpu: cpuCores, memory: memoryMB, storage: storageMB };
}

function toWaiting(row: WaiterRow): WaitingRow {
  const { id: requestId, user_id: userId, tenant_id: tenantId, trace_id: traceId, estimated_p50: p50, estimated_p90: p90 } = row;
  const { caller, source, tier, needs } = row;
  const read = readTolerantly(askedAllocation, row.asked);
  const asked: AskedAllocation = read.success ? read.data : ANYTHING;
  return {
    requestId,
    rank: row.rank_at,
    tenantId,
    needs,
    wantedDevice: row.wanted_device,
    durationMinutes: asked.durationMinutes,
    preference: preferenceOf(asked, null),
    request: { requestId, caller, source, userId, tenantId, tier, asked, traceId: traceId ?? undefined },
    unreadable: read.success ? undefined : read.error.message,
    replyTo: row.reply_to,
    createdAt: row.created_at,
    estimate: p50 === null || p90 === null ? null : { p50, p90 },
  };
}
