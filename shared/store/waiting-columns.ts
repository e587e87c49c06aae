import type { AllocationRequest, ExistingRequest, GatheredRequest } from '../allocation/facts.ts';
import type { AllocateOutcome } from '../allocation/outcome.ts';
import type { Decision } from '../allocation/plan-group.ts';
import { type OutboxEvent, queueCancelled, queueExpired, queueFulfilled, queueJoined } from '../events.ts';
import { needsOf } from '../waitlist/needs.ts';
import { flowOf } from '../waitlist/rank.ts';
import { rankInFlows } from './begin-waiting.ts';
import type { Transaction } from './store.ts';

const MINUTE_MS = 60_000;

/** What the row of a request holds while it waits. What is not said is kept. */
export interface WaitingColumns {
  readonly flow: string;
  readonly rank_at: string;
  readonly needs: readonly number[];
  readonly wanted_device: string | null;
  readonly parked: string | null;
  readonly reply_to: string | null;
  readonly retry_count: number;
}

/**
 * The columns of those of a group that wait: a newcomer gets its place, which it keeps for good; one that waited before has
 * its needs and the reason it is passed over brought up to date.
 */
export async function waitingColumns(
  tx: Transaction,
  group: readonly GatheredRequest[],
  decisions: ReadonlyMap<string, Decision>,
  existing: ReadonlyMap<string, ExistingRequest>,
): Promise<ReadonlyMap<string, WaitingColumns>> {
  const waiting = group
    .filter(({ request }) => decisions.get(request.requestId)?.kind === 'waiting')
    .map(({ request, replyTo }) => ({ request, replyTo }));
  const isNew = ({ requestId }: AllocationRequest) => existing.get(requestId)?.status !== 'waiting';
  const newcomers = waiting.flatMap(({ request }) => (isNew(request) ? [request] : []));
  const ranks = await rankInFlows(
    tx,
    newcomers.map((request) => ({ flow: flowOf(request), tier: request.tier })),
  );
  const ranked = new Map(newcomers.map(({ requestId }, index) => [requestId, ranks[index]]));
  return new Map(
    waiting.flatMap(({ request, replyTo }) => {
      const decision = decisions.get(request.requestId);
      if (decision?.kind !== 'waiting') return [];
      const columns: WaitingColumns = {
        flow: flowOf(request),
        // A row that has its place keeps it: what is said here is not written then, but has to be whole.
        rank_at: (ranked.get(request.requestId) ?? new Date(0)).toISOString(),
        needs: needsOf(request.asked, decision.caps),
        wanted_device: request.asked.devicePreferences?.deviceId ?? null,
        parked: decision.parked,
        reply_to: replyTo ?? null,
        retry_count: isNew(request) ? 0 : 1,
      };
      return [[request.requestId, columns] as const];
    }),
  );
}

/** What the queue tells of a request that begins to wait, or no longer waits. */
export function queueEvents(
  request: AllocationRequest,
  outcome: AllocateOutcome,
  existing: ExistingRequest | undefined,
  now: Date,
): OutboxEvent[] {
  const waited = existing?.status === 'waiting';
  if (outcome.status === 'waiting') return waited ? [] : [queueJoined(request, request.asked.maxWaitMinutes)];
  if (!waited) return [];
  const waitedMinutes = Math.floor(Math.max(0, now.getTime() - (existing.waitingSince?.getTime() ?? now.getTime())) / MINUTE_MS);
  switch (outcome.status) {
    case 'granted':
      return [queueFulfilled(request, { ...outcome.allocation, waitedMinutes })];
    case 'timed_out':
      return [queueExpired(request, outcome.code, waitedMinutes)];
    case 'refused':
      return [queueCancelled(request, outcome.code)];
    case 'cancelled':
      return [];
  }
}
