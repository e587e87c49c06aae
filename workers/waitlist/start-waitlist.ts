import { type CapacitySignal, createCapacitySignal } from '../../queues/capacity-signal.ts';
import type { JoinOutcome, JoinPayload } from '../../queues/jobs/join.ts';
import type { MatchOutcome } from '../../queues/jobs/match.ts';
import { QUEUES } from '../../queues/names.ts';
import type { OutagePolicy } from '../../shared/allocation/facts.ts';
import type { BalanceFacts } from '../../shared/clients/balance-facts.ts';
import type { QuotaFacts } from '../../shared/clients/quota-facts.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { Strategy } from '../../shared/placement/strategy.ts';
import { announce } from '../../shared/run/announce.ts';
import { createCollector } from '../../shared/run/collector.ts';
import { type QueueWorker, startQueueWorker, type WorkerTiming } from '../../shared/run/queue-worker.ts';
import type { RedisAddress, RedisClient } from '../../shared/run/redis.ts';
import type { Store } from '../../shared/store/store.ts';
import { somebodyWaits, unpark } from '../../shared/store/unpark.ts';
import { announceServed } from './announce-served.ts';
import { createHandlers, createJoinHandlers } from './handlers.ts';
import { joinFor } from './join.ts';
import { type MatchScope, match } from './match.ts';
import { tidy } from './tidy.ts';

/** What the waitlist worker works with. */
export interface WaitlistDependencies {
  readonly store: Store;
  /** Fails fast; used for announcements. */
  readonly redis: RedisClient;
  readonly redisAddress: RedisAddress;
  readonly prefix: string;
  readonly quota: Pick<QuotaFacts, 'quotaOf'>;
  readonly balance: Pick<BalanceFacts, 'balanceOf'>;
  readonly outagePolicy: OutagePolicy;
  readonly strategy: () => Strategy;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly timing?: Partial<WorkerTiming>;
}

/** Longest run of one job, ms. */
const JOB_DEADLINE_MS = 30_000;
/** Wake-ups taken at once; those that come while one look is under way are the next look, together. */
const CONCURRENCY = 100;
const JOINED_AT_ONCE = 10;

/** Starts giving free devices to whoever waits for them, and lets who asks through the client join. */
export function startWaitlist(deps: WaitlistDependencies): QueueWorker {
  const capacity = createCapacitySignal({
    redis: deps.redis,
    prefix: deps.prefix,
    waits: () => somebodyWaits(deps.store),
    unpark: (users, allocations) => unpark(deps.store, users, allocations),
    logger: deps.logger,
  });
  const matching = startMatching(deps);
  const joining = startQueueWorker({
    ...workerOf(deps),
    queue: QUEUES.join,
    concurrency: JOINED_AT_ONCE,
    handlers: createJoinHandlers((payload) => join(deps, capacity, payload)),
  });
  return {
    healthy: () => matching.healthy() && joining.healthy(),
    running: () => matching.running() + joining.running(),
    close: async () => {
      await Promise.all([matching.close(), joining.close()]);
      await capacity.close();
    },
  };
}

async function join(
  { store, redis, prefix, logger }: WaitlistDependencies,
  capacity: CapacitySignal,
  payload: JoinPayload,
): Promise<JoinOutcome> {
  const outcome = await joinFor(store, payload, (requestId) => capacity.changed({ requests: [requestId] }));
  const outcomes = payload.replyTo === undefined ? [] : [{ replyTo: payload.replyTo, id: payload.requestId, outcome }];
  await announce(redis, prefix, { availability: false, outbox: outcome.status === 'waiting', outcomes }, logger);
  return outcome;
}

function workerOf({ prefix, redisAddress, metrics, logger, timing }: WaitlistDependencies) {
  return { prefix, redis: redisAddress, deadlineMs: JOB_DEADLINE_MS, metrics, logger, ...(timing === undefined ? {} : { timing }) };
}

function startMatching(deps: WaitlistDependencies): QueueWorker {
  const { store, redis, prefix, metrics, logger } = deps;
  const parts = {
    store,
    quotaOf: deps.quota.quotaOf.bind(deps.quota),
    balanceOf: deps.balance.balanceOf.bind(deps.balance),
    policy: () => ({ ...deps.outagePolicy, strategy: deps.strategy() }),
    announce: announceServed({ redis, prefix, metrics, logger }),
    metrics,
    logger,
  };
  const looks = createCollector<MatchScope, MatchOutcome>({
    maxSize: CONCURRENCY,
    maxParallel: 1,
    run: async (scopes) => {
      const outcome = await match(parts, together(scopes));
      return scopes.map(() => outcome);
    },
    onGroup: (size, seconds) => {
      metrics.groupSize.observe({ group: 'match' }, size);
      metrics.groupDuration.observe({ group: 'match' }, seconds);
    },
  });
  return startQueueWorker({
    ...workerOf(deps),
    queue: QUEUES.waitlist,
    concurrency: CONCURRENCY,
    handlers: createHandlers({
      looks,
      tidy: () => tidy({ store, redis, prefix, metrics, logger }),
      tell: (replyTo, id, outcome) =>
        announce(redis, prefix, { availability: false, outbox: false, outcomes: [{ replyTo, id, outcome }] }, logger),
    }),
  });
}

function together(scopes: readonly MatchScope[]): MatchScope {
  return {
    devices: [...new Set(scopes.flatMap(({ devices }) => devices))],
    requests: [...new Set(scopes.flatMap(({ requests }) => requests))],
    everywhere: scopes.some(({ everywhere }) => everywhere),
    // An operator who asks for a few gets them; whoever else is served at the same time was due anyway.
    most: Math.max(...scopes.map(({ most }) => most)),
  };
}
