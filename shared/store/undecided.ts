import { Prisma } from '../../prisma/generated/client.ts';
import type { AskedAllocation } from '../allocation/asked.ts';
import type { AllocationRequest } from '../allocation/facts.ts';
import type { Tier } from '../allocation/tier.ts';
import { allocationRefused } from '../events.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

interface RequestRow {
  id: string;
  caller: string;
  source: AllocationRequest['source'];
  user_id: string;
  tenant_id: string | null;
  tier: Tier;
  asked: AskedAllocation;
  trace_id: string | null;
  created_at: Date;
}

/** A request that still needs a decision, with the time it was accepted. */
export interface UndecidedRequest extends AllocationRequest {
  readonly createdAt: Date;
}

/**
 * Pending requests whose job is due to be looked for: handed to the queue more than `olderThanSeconds` ago. Marked as
 * handed out again in the same statement, so that two reconcilers never hand out the same one. Oldest first.
 */
export async function claimUndecided(store: Store, olderThanSeconds: number, limit: number): Promise<UndecidedRequest[]> {
  const rows = await translated(store.prisma.$queryRaw<RequestRow[]>`
    WITH due AS (
      SELECT id FROM requests WHERE status = 'pending' AND enqueued_at < now() - make_interval(secs => ${olderThanSeconds}::int)
      ORDER BY enqueued_at, id LIMIT ${limit} FOR UPDATE SKIP LOCKED
    )
    UPDATE requests r SET enqueued_at = now() FROM due WHERE r.id = due.id
    RETURNING r.id, r.caller, r.source, r.user_id, r.tenant_id, r.tier, r.asked, r.trace_id, r.created_at`);
  return rows.map(toRequest).sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
}

/**
 * Waiting requests to be tried again because capacity came back. They stay waiting: one that is too late, or whose last
 * job is not quite over, is tried again by the next look.
 *
 * @param order  `tier`: higher tier first, then the longest wait, for a device that just became free; `longest-untried`:
 *   whoever was not tried for the longest time, so that a look with no occasion reaches everybody in turn
 * @param count  most requests
 */
export async function wakeWaiting(store: Store, order: 'tier' | 'longest-untried', count: number): Promise<UndecidedRequest[]> {
  const ordered =
    order === 'tier'
      ? Prisma.sql`array_position(ARRAY['enterprise', 'premium', 'vip', 'standard', 'free'], tier), waiting_since, id`
      : Prisma.sql`enqueued_at, id`;
  const rows = await translated(store.prisma.$queryRaw<RequestRow[]>`
    WITH next AS (
      SELECT id FROM requests WHERE status = 'waiting' ORDER BY ${ordered} LIMIT ${count} FOR UPDATE SKIP LOCKED
    )
    UPDATE requests r SET enqueued_at = now() FROM next WHERE r.id = next.id
    RETURNING r.id, r.caller, r.source, r.user_id, r.tenant_id, r.tier, r.asked, r.trace_id, r.created_at`);
  return rows.map(toRequest).sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
}

/** Ends requests whose deadline has passed undecided. @returns their ids */
export async function timeOutRequests(store: Store, limit: number): Promise<string[]> {
  return store.transaction(async (tx) => {
    const rows = await tx.$queryRaw<{ id: string; user_id: string; tenant_id: string | null }[]>`
      WITH late AS (
        SELECT id FROM requests WHERE status IN ('pending', 'waiting') AND deadline <= now() LIMIT ${limit} FOR UPDATE SKIP LOCKED
      )
      UPDATE requests r SET status = 'timed_out', code = 'REQUEST_TIMED_OUT', decided_at = now() FROM late WHERE r.id = late.id
      RETURNING r.id, r.user_id, r.tenant_id`;
    const events = rows.map((row) =>
      allocationRefused({
        requestId: row.id,
        userId: row.user_id,
        tenantId: row.tenant_id,
        code: 'REQUEST_TIMED_OUT',
        reason: 'not decided before its deadline',
      }),
    );
    await tx.$executeRaw`
      INSERT INTO outbox (channel, topic, key, payload)
      SELECT 'event', x.topic, x.key, x.payload FROM jsonb_to_recordset(${JSON.stringify(events)}::jsonb) AS x(topic text, key text, payload jsonb)`;
    return rows.map((row) => row.id);
  });
}

function toRequest(row: RequestRow): UndecidedRequest {
  return {
    requestId: row.id,
    caller: row.caller,
    source: row.source,
    userId: row.user_id,
    tenantId: row.tenant_id,
    tier: row.tier,
    asked: row.asked,
    traceId: row.trace_id ?? undefined,
    createdAt: row.created_at,
  };
}
