import type { AskedAllocation } from '../allocation/asked.ts';
import type { AllocationRequest } from '../allocation/facts.ts';
import type { LateRequest } from '../allocation/outcome.ts';
import type { Tier } from '../allocation/tier.ts';
import { allocationRefused, type OutboxEvent, queueExpired } from '../events.ts';
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

/** Ends requests whose deadline has passed undecided. To be told with `announceLate`. */
export async function timeOutRequests(store: Store, limit: number): Promise<LateRequest[]> {
  return store.transaction(async (tx) => {
    const rows = await tx.$queryRaw<LateRow[]>`
      WITH late AS (
        SELECT id, status = 'waiting' AS waited FROM requests WHERE status IN ('pending', 'waiting') AND deadline <= now()
        LIMIT ${limit} FOR UPDATE SKIP LOCKED
      )
      UPDATE requests r SET status = 'timed_out', code = 'REQUEST_TIMED_OUT', decided_at = now() FROM late WHERE r.id = late.id
      RETURNING r.id, r.source, r.user_id, r.tenant_id, r.tier, r.trace_id, r.reply_to, late.waited, coalesce(r.estimated_p90 < now(), false) AS overdue,
        floor(extract(epoch FROM now() - coalesce(r.waiting_since, r.created_at)) / 60)::int AS waited_minutes`;
    const events = rows.flatMap((row) => lateEvents(row).map((event) => ({ ...event, trace_id: row.trace_id })));
    await tx.$executeRaw`
      INSERT INTO outbox (channel, topic, key, payload, trace_id)
      SELECT 'event', x.topic, x.key, x.payload, x.trace_id
      FROM jsonb_to_recordset(${JSON.stringify(events)}::jsonb) AS x(topic text, key text, payload jsonb, trace_id text)`;
    return rows.map(({ id: requestId, source, reply_to: replyTo, overdue }) => {
      const outcome = { status: 'timed_out', requestId, code: 'REQUEST_TIMED_OUT' } as const;
      return { requestId, source, replyTo, outcome, overdue };
    });
  });
}

interface LateRow extends RequestRow {
  readonly reply_to: string | null;
  readonly waited: boolean;
  readonly overdue: boolean;
  readonly waited_minutes: number;
}

function lateEvents(row: LateRow): OutboxEvent[] {
  const { id: requestId, user_id: userId, tenant_id: tenantId, tier, waited, waited_minutes: minutes } = row;
  const code = 'REQUEST_TIMED_OUT';
  const failed = allocationRefused({ requestId, userId, tenantId, code, reason: 'not decided before its deadline' });
  return waited ? [failed, queueExpired({ requestId, userId, tier }, code, minutes)] : [failed];
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
