import type { AllocationRequest } from '../allocation/facts.ts';
import { TIERS, type Tier } from '../allocation/tier.ts';
import { NO_CAPS } from '../placement/requirement.ts';
import { needsOf } from '../waitlist/needs.ts';
import { flowOf, type LastPlace, type Newcomer, rankNewcomers } from '../waitlist/rank.ts';
import type { Transaction } from './store.ts';

/** How a row begins to wait. */
export interface BeginWaiting {
  /** Joined through the queue's own route: the second one of a user is refused by the database. */
  readonly joined?: boolean;
  /** `highest`: before everybody who has a place by the rules. */
  readonly rank?: 'highest';
  /** The instance that is told what becomes of it. */
  readonly replyTo?: string | undefined;
}

/** Further ahead than any tier and the longest wait there is, s. */
const HIGHEST_S = 86_400;

/**
 * Gives places to those who begin to wait, in the order given, by the clock of the database.
 *
 * Takes the lock of each flow until the transaction ends, so two of a flow never get the same place. To be called after
 * the users' locks.
 */
export async function rankInFlows(tx: Transaction, newcomers: readonly Newcomer[]): Promise<Date[]> {
  if (newcomers.length === 0) return [];
  const flows = [...new Set(newcomers.map(({ flow }) => flow))];
  await tx.$queryRaw`
    SELECT count(pg_advisory_xact_lock(key)) FROM (
      SELECT DISTINCT hashtextextended('waiting ' || flow, 0) AS key FROM unnest(${flows}::text[]) AS f(flow) ORDER BY key) keys`;
  const [row] = await tx.$queryRaw<{ now: Date; last: { flow: string; tier: Tier; rank_at: string }[] | null }[]>`
    SELECT date_trunc('milliseconds', clock_timestamp()) AS now, (SELECT json_agg(l) FROM (
      SELECT f.flow, t.tier, w.rank_at FROM unnest(${flows}::text[]) AS f(flow) CROSS JOIN unnest(${[...TIERS]}::text[]) AS t(tier) CROSS JOIN LATERAL (
        SELECT r.rank_at FROM requests r WHERE r.status = 'waiting' AND r.flow = f.flow AND r.tier = t.tier ORDER BY r.rank_at DESC LIMIT 1) w) l) AS last`;
  if (row === undefined) throw new Error('a SELECT without FROM returned no row');
  const last = (row.last ?? []).map(({ flow, tier, rank_at }): LastPlace => ({ flow, tier, rank: new Date(rank_at) }));
  return rankNewcomers(newcomers, last, row.now);
}

/**
 * Writes a request that waits from the start. Whoever writes it tells the waitlist after the commit
 * (`capacityChanged` with its id), or it is found by the next look.
 *
 * @returns false: there is a request of this id already, or (joined) the user is in the queue already
 */
export async function insertWaiting(
  tx: Transaction,
  request: AllocationRequest,
  { joined = false, rank, replyTo }: BeginWaiting = {},
): Promise<boolean> {
  const { requestId, caller, source, userId, tenantId, tier, asked, traceId } = request;
  const flow = flowOf(request);
  const [place = new Date()] = rank === 'highest' ? [] : await rankInFlows(tx, [{ flow, tier }]);
  const written = await tx.$executeRaw`
    INSERT INTO requests (id, caller, source, user_id, tenant_id, tier, status, asked, trace_id, code, details, deadline, waiting_since, joined, flow,
      rank_at, needs, wanted_device, reply_to)
    VALUES (${requestId}::uuid, ${caller}, ${source}, ${userId}, ${tenantId}, ${tier}, 'waiting', ${JSON.stringify(asked)}::jsonb, ${traceId ?? null},
      'POOL_BUSY', '{"reason": "POOL_BUSY"}', now() + make_interval(mins => ${asked.maxWaitMinutes}::int), now(), ${joined}, ${flow},
      CASE WHEN ${rank === 'highest'} THEN now() - make_interval(secs => ${HIGHEST_S}::int) ELSE ${place}::timestamptz END,
      ${[...needsOf(asked, NO_CAPS)]}::int[], ${asked.devicePreferences?.deviceId ?? null}::uuid, ${replyTo ?? null})
    ON CONFLICT DO NOTHING`;
  return written === 1;
}
