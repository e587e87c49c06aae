import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { type AnnounceEndedParts, announceEnded } from '../../shared/run/announce-ended.ts';
import type { GroupOutcome } from '../../shared/store/grant-group.ts';
import type { WaitingRow } from '../../shared/store/waiters.ts';
import type { Served } from './match.ts';

export interface AnnounceServedParts extends AnnounceEndedParts {
  readonly metrics: Metrics;
}

/** Tells what became of requests that waited, and counts it. */
export function announceServed(parts: AnnounceServedParts): (served: readonly Served[]) => Promise<void> {
  return async (served) => {
    const ended = served.flatMap(({ waiter, outcome }) => (isEnd(outcome) ? [{ waiter, outcome }] : []));
    for (const { waiter, outcome } of ended) count(parts.metrics, waiter, outcome);
    await announceEnded(
      parts,
      ended.map(({ waiter: { requestId, request, replyTo }, outcome }) => ({ requestId, source: request.source, replyTo, outcome })),
      { availability: ended.some(({ outcome }) => outcome.status === 'granted') },
    );
  };
}

function isEnd(outcome: GroupOutcome): outcome is AllocateOutcome {
  return outcome.status !== 'waiting' && outcome.status !== 'contended';
}

function count(metrics: Metrics, { request, createdAt, estimate }: WaitingRow, outcome: AllocateOutcome): void {
  metrics.decisions.inc({ outcome: outcome.status, code: 'code' in outcome ? outcome.code : '' });
  metrics.waitlistWait.observe({ tier: request.tier }, Math.max(0, Date.now() - createdAt.getTime()) / 1_000);
  const within = estimate === null ? undefined : withinOf(estimate, outcome);
  if (within !== undefined) metrics.waitEstimates.inc({ within });
}

/** Whose time was over before the estimate says nothing about it. */
function withinOf({ p50, p90 }: NonNullable<WaitingRow['estimate']>, outcome: AllocateOutcome): 'p50' | 'p90' | 'late' | undefined {
  if (outcome.status === 'timed_out') return p90.getTime() < Date.now() ? 'late' : undefined;
  if (outcome.status !== 'granted') return undefined;
  const startedAt = Date.parse(outcome.allocation.allocatedAt);
  return startedAt <= p50.getTime() ? 'p50' : startedAt <= p90.getTime() ? 'p90' : 'late';
}
