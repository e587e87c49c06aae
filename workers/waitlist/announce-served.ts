import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { announce } from '../../shared/run/announce.ts';
import { keepOutcomes } from '../../shared/run/completion.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import type { GroupOutcome } from '../../shared/store/grant-group.ts';
import type { WaitingRow } from '../../shared/store/waiters.ts';
import type { Served } from './match.ts';

export interface AnnounceServedParts {
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/**
 * Tells what became of requests that waited: to whoever listens, and, for the client, whose job said "waiting" long ago,
 * as an outcome it finds when it looks.
 */
export function announceServed({ redis, prefix, metrics, logger }: AnnounceServedParts): (served: readonly Served[]) => Promise<void> {
  return async (served) => {
    const over = served.filter(({ outcome }) => outcome.status !== 'waiting' && outcome.status !== 'contended');
    if (over.length === 0) return;
    for (const { waiter, outcome } of over) count(metrics, waiter, outcome);
    const messages = over.flatMap(({ waiter, outcome }) =>
      waiter.replyTo === null ? [] : [{ replyTo: waiter.replyTo, id: waiter.requestId, outcome }],
    );
    await Promise.all([
      keepOutcomes(
        redis,
        prefix,
        over.flatMap(({ waiter, outcome }) => (waiter.request.source === 'client' ? [{ id: waiter.requestId, outcome }] : [])),
        logger,
      ),
      announce(
        redis,
        prefix,
        { availability: over.some(({ outcome }) => outcome.status === 'granted'), outbox: true, outcomes: messages },
        logger,
      ),
    ]);
  };
}

function count(metrics: Metrics, { request, createdAt, estimate }: WaitingRow, outcome: GroupOutcome): void {
  metrics.decisions.inc({ outcome: outcome.status, code: 'code' in outcome ? outcome.code : '' });
  metrics.waitlistWait.observe({ tier: request.tier }, Math.max(0, Date.now() - createdAt.getTime()) / 1_000);
  if (outcome.status !== 'granted' || estimate === null) return;
  const startedAt = Date.parse(outcome.allocation.allocatedAt);
  const within = startedAt <= estimate.p50.getTime() ? 'p50' : startedAt <= estimate.p90.getTime() ? 'p90' : 'late';
  metrics.waitEstimates.inc({ within });
}
