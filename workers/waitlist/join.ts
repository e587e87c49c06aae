import type { JoinOutcome, JoinPayload } from '../../queues/jobs/join.ts';
import { joinQueue } from '../../shared/store/join-queue.ts';
import { readOutcomes } from '../../shared/store/outcomes.ts';
import { tenantOfUser } from '../../shared/store/requests.ts';
import type { Store } from '../../shared/store/store.ts';
import { tellEstimate, type WaitFacts } from '../../shared/store/wait-facts.ts';
import { requestOfEntry } from '../../shared/waitlist/asked-entry.ts';

/**
 * Puts a user into the queue for another service. Safe to run twice: the second run finds the entry, and says how it stands.
 *
 * @param joined  called after the commit, before the answer: the entry waits
 * @throws SchedulerError STORE_UNAVAILABLE; the queue tries again
 */
export async function joinFor(store: Store, payload: JoinPayload, joined: (requestId: string) => Promise<void>): Promise<JoinOutcome> {
  const { requestId, caller, userId, tier, asked, traceId, replyTo } = payload;
  const tenantId = payload.tenantId ?? (await tenantOfUser(store, userId)) ?? null;
  const request = { requestId, caller, source: 'client', userId, tenantId, tier, asked: requestOfEntry(asked), traceId } as const;
  const outcome = await joinQueue(store, request, replyTo);
  if (outcome.kind === 'refused') return { status: 'refused', requestId, ...outcome.refusal };
  // A repeat says it again: the first run may have died before it could.
  await joined(requestId);
  const facts = await tellEstimate(store, requestId);
  const [known] = await readOutcomes(store.prisma, [requestId]);
  if (known === undefined)
    return { status: 'refused', requestId, code: 'IDEMPOTENCY_KEY_REUSED', reason: 'the id is that of another request' };
  return known.status === 'waiting' && facts !== undefined ? { ...known, ...placeOf(facts) } : known;
}

function placeOf({ aheadCount, reason, estimate }: WaitFacts) {
  return {
    reason,
    position: aheadCount + 1,
    ...(estimate && { estimatedStart: { p50: estimate.p50.toISOString(), p90: estimate.p90.toISOString() } }),
  };
}
