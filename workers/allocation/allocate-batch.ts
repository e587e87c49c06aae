import { setTimeout as pause } from 'node:timers/promises';
import type { AllocateBatchOutcome, AllocateBatchPayload } from '../../queues/jobs/allocate-batch.ts';
import type { BatchRule } from '../../shared/allocation/decide-batch.ts';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import type { Collector } from '../../shared/run/collector.ts';
import type { GroupOutcome } from '../../shared/store/grant-group.ts';
import { type AllocateItem, type AllocateParts, contendedPause, count, gather } from './allocate.ts';

/** Requests of a batch on their way through one transaction. */
export interface BatchItem {
  readonly items: readonly AllocateItem[];
  readonly rule: BatchRule;
}

export interface AllocateBatchParts extends Pick<AllocateParts, 'quotaOf' | 'balanceOf' | 'metrics'> {
  /** One batch a transaction, a few at once. */
  readonly batches: Collector<BatchItem, GroupOutcome[]>;
}

/**
 * Decides a batch: gather for all, then decide and commit all in one transaction. What another worker holds up is tried
 * again; requests that depend on each other are then tried again together.
 *
 * Safe to run twice and to be killed anywhere, like a single request.
 *
 * @throws SchedulerError STORE_UNAVAILABLE; the queue tries again
 */
export async function allocateBatch(
  parts: AllocateBatchParts,
  payload: AllocateBatchPayload,
  job: { readonly signal: AbortSignal },
): Promise<AllocateBatchOutcome> {
  const { batchId, members, atomic, continueOnError } = payload;
  const decided = new Map<string, AllocateOutcome>();
  let open = await Promise.all(members.map((member) => gather(parts, callOf(payload, member))));
  for (let deferrals = 1; ; deferrals += 1) {
    const outcomes = await parts.batches.submit({ items: open, rule: { atomic, continueOnError } });
    for (const outcome of outcomes) if (outcome.status !== 'contended') decided.set(outcome.requestId, outcome);
    open = open.filter(({ request }) => !decided.has(request.requestId));
    if (open.length === 0) break;
    for (const item of open) item.deferrals = deferrals;
    await pause(contendedPause(deferrals), undefined, { signal: job.signal });
  }
  for (const member of members) {
    const outcome = decided.get(member.requestId);
    if (outcome !== undefined) count(parts.metrics, callOf(payload, member), outcome);
  }
  return { batchId, outcomes: members.flatMap(({ requestId }) => decided.get(requestId) ?? []) };
}

/** Nobody waits for a member by itself: whoever waits is told of the whole. */
function callOf(payload: AllocateBatchPayload, member: AllocateBatchPayload['members'][number]) {
  const { caller, source, traceId, fairStart, acceptedAt } = payload;
  return { request: { ...member, caller, source, traceId }, replyTo: undefined, fairStart, acceptedAt };
}
