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
  if (outcome.status !== 'granted' || estimate === null) return;
  const startedAt = Date.parse(outcome.allocation.allocatedAt);
  const within = startedAt <= estimate.p50.getTime() ? 'p50' : startedAt <= estimate.p90.getTime() ? 'p90' : 'late';
  metrics.waitEstimates.inc({ within });
}
