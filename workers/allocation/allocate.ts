import { setTimeout as pause } from 'node:timers/promises';
import type { AllocationRequest, BalanceFact, GatheredRequest, QuotaFact } from '../../shared/allocation/facts.ts';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { Collector } from '../../shared/run/collector.ts';
import type { GroupOutcome } from '../../shared/store/grant-group.ts';

/** A request on its way through a group: what was gathered, whom to tell, how often it was put off. */
export interface AllocateItem extends GatheredRequest {
  readonly replyTo: string | undefined;
  readonly fairStart: number;
  readonly acceptedAt: number;
  deferrals: number;
}

/** What an allocation needs: where the facts come from and where the groups form. */
export interface AllocateParts {
  readonly quotaOf: (userId: string, options: { deadlineMs: number; traceId: string | undefined }) => Promise<QuotaFact>;
  readonly balanceOf: (userId: string, options: { deadlineMs: number; traceId: string | undefined }) => Promise<BalanceFact>;
  readonly collector: Collector<AllocateItem, GroupOutcome>;
  readonly metrics: Metrics;
}

/** The job's words about a request, beside the request itself. */
export interface AllocateCall {
  readonly request: AllocationRequest;
  readonly replyTo: string | undefined;
  readonly fairStart: number;
  readonly acceptedAt: number;
}

/** Longest time the facts of one request may take to gather, ms. */
const GATHER_DEADLINE_MS = 8_000;
/** Pause before a contended request is asked again, ms: short, spread, growing a little. */
const CONTENDED_PAUSE_MS = 4;
const CONTENDED_PAUSE_MAX_MS = 60;

/**
 * Decides one request: gather, then decide and commit together with whatever else is under way.
 *
 * Safe to run twice and to be killed anywhere: nothing is written before the group's commit, and a repeat finds the
 * request settled.
 *
 * @param job  its signal is aborted when the job's lock is lost or its time is up
 * @throws SchedulerError STORE_UNAVAILABLE; the queue tries again
 */
export async function allocate(parts: AllocateParts, call: AllocateCall, job: { readonly signal: AbortSignal }): Promise<AllocateOutcome> {
  faultPoint('grant.1');
  const item = await gather(parts, call);
  faultPoint('grant.2');
  for (;;) {
    const outcome = await parts.collector.submit(item);
    if (outcome.status !== 'contended') {
      count(parts.metrics, call, outcome);
      return outcome;
    }
    item.deferrals += 1;
    await pause(contendedPause(item.deferrals), undefined, { signal: job.signal });
  }
}

/** Reads what is outside: the quota and the balance of the user. */
export async function gather(
  { quotaOf, balanceOf }: Pick<AllocateParts, 'quotaOf' | 'balanceOf'>,
  call: AllocateCall,
): Promise<AllocateItem> {
  const { userId, traceId } = call.request;
  const options = { deadlineMs: GATHER_DEADLINE_MS, traceId };
  const [quota, balance] = await Promise.all([quotaOf(userId, options), balanceOf(userId, options)]);
  return { ...call, quota, balance, deferrals: 0 };
}

/** How long to wait before a contended request is asked again, ms. */
export function contendedPause(deferrals: number): number {
  const longest = Math.min(CONTENDED_PAUSE_MAX_MS, CONTENDED_PAUSE_MS * (deferrals + 1));
  return 1 + Math.random() * longest;
}

/** Counts what became of a request and how long it took. */
export function count(metrics: Metrics, { request, acceptedAt }: AllocateCall, outcome: AllocateOutcome): void {
  metrics.decisions.inc({ outcome: outcome.status, code: 'code' in outcome ? outcome.code : '' });
  metrics.requestWait.observe({ tier: request.tier }, Math.max(0, Date.now() - acceptedAt) / 1_000);
}
