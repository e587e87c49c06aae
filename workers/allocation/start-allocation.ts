import { type CapacitySignal, createCapacitySignal } from '../../queues/capacity-signal.ts';
import { advanceFairOrder } from '../../queues/fair-order.ts';
import { QUEUES } from '../../queues/names.ts';
import type { OutagePolicy } from '../../shared/allocation/facts.ts';
import type { BalanceFacts } from '../../shared/clients/balance-facts.ts';
import type { QuotaFacts } from '../../shared/clients/quota-facts.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { Strategy } from '../../shared/placement/strategy.ts';
import { announce } from '../../shared/run/announce.ts';
import { createCollector } from '../../shared/run/collector.ts';
import { createLocks } from '../../shared/run/lock.ts';
import { type QueueWorker, startQueueWorker, type WorkerTiming } from '../../shared/run/queue-worker.ts';
import type { RedisAddress, RedisClient } from '../../shared/run/redis.ts';
import type { GroupOutcome } from '../../shared/store/grant-group.ts';
import type { Store } from '../../shared/store/store.ts';
import { somebodyWaits, unpark } from '../../shared/store/unpark.ts';
import type { AllocateItem } from './allocate.ts';
import type { BatchItem } from './allocate-batch.ts';
import { decideGroup } from './decide-group.ts';
import { createHandlers, type Tell } from './handlers.ts';

/** What the allocation worker works with. */
export interface AllocationDependencies {
  readonly store: Store;
  /** Fails fast; used for locks, announcements and the fair order. */
  readonly redis: RedisClient;
  readonly redisAddress: RedisAddress;
  readonly prefix: string;
  readonly quota: Pick<QuotaFacts, 'quotaOf'>;
  readonly balance: Pick<BalanceFacts, 'balanceOf'>;
  readonly outagePolicy: OutagePolicy;
  readonly strategy: () => Strategy;
  readonly concurrency: number;
  readonly groupMax: number;
  readonly groupParallel: number;
  readonly locks: boolean;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly timing?: Partial<WorkerTiming>;
}

/** Longest run of one job, ms: gathering may take 8 s, a contended request some more. */
const JOB_DEADLINE_MS = 20_000;
/** Life of a lock, ms: longer than any group should take. */
const LOCK_TTL_MS = 5_000;

/** Starts deciding allocation requests; close it to hand back what is not decided. */
export function startAllocation(deps: AllocationDependencies): QueueWorker {
  const { store, redis, prefix, metrics, logger } = deps;
  const locks = deps.locks ? createLocks(redis, { ttlMs: LOCK_TTL_MS, prefix, logger }) : undefined;
  const policy = () => ({ ...deps.outagePolicy, strategy: deps.strategy() });
  const capacity = createCapacitySignal({
    redis,
    prefix,
    waits: () => somebodyWaits(store),
    unpark: (users, allocations) => unpark(store, users, allocations),
    logger,
  });
  const tellGroup = (items: readonly AllocateItem[], outcomes: readonly GroupOutcome[]) =>
    announceGroup({ ...deps, capacity }, items, outcomes);
  const group = { store, locks, policy, announce: tellGroup, metrics, logger };
  const collector = createCollector<AllocateItem, GroupOutcome>({
    maxSize: deps.groupMax,
    maxParallel: deps.groupParallel,
    run: (items) => decideGroup(group, items),
    onGroup: (size, seconds) => {
      metrics.groupSize.observe({ group: 'allocate' }, size);
      metrics.groupDuration.observe({ group: 'allocate' }, seconds);
    },
  });
  const batches = createCollector<BatchItem, GroupOutcome[]>({
    maxSize: 1,
    maxParallel: deps.groupParallel,
    run: (some) => Promise.all(some.map(({ items, rule }) => decideGroup(group, items, rule))),
    onGroup: (_size, seconds) => metrics.groupDuration.observe({ group: 'allocate-batch' }, seconds),
  });
  const tell: Tell = async ({ replyTo }, id, outcome) => {
    if (replyTo !== undefined)
      await announce(redis, prefix, { availability: false, outbox: false, outcomes: [{ replyTo, id, outcome }] }, logger);
  };
  const parts = {
    quotaOf: deps.quota.quotaOf.bind(deps.quota),
    balanceOf: deps.balance.balanceOf.bind(deps.balance),
    collector,
    batches,
    tell,
    metrics,
  };
  const worker = startQueueWorker({
    queue: QUEUES.allocate,
    prefix,
    redis: deps.redisAddress,
    concurrency: deps.concurrency,
    handlers: createHandlers(parts),
    deadlineMs: JOB_DEADLINE_MS,
    metrics,
    logger,
    ...(deps.timing === undefined ? {} : { timing: deps.timing }),
  });
  const close = async () => {
    await worker.close();
    await capacity.close();
  };
  return { ...worker, close };
}

async function announceGroup(
  { redis, prefix, logger, capacity }: AllocationDependencies & { readonly capacity: CapacitySignal },
  items: readonly AllocateItem[],
  outcomes: readonly GroupOutcome[],
): Promise<void> {
  const decided = outcomes.filter((outcome) => outcome.status !== 'contended');
  const messages = items.flatMap(({ request, replyTo }, position) => {
    const outcome = outcomes[position];
    return replyTo === undefined || outcome === undefined || outcome.status === 'contended'
      ? []
      : [{ replyTo, id: request.requestId, outcome }];
  });
  const waiting = decided.flatMap(({ status, requestId }) => (status === 'waiting' ? [requestId] : []));
  await Promise.all([
    // A device may have become free while they were being written: whoever freed it did not see them yet.
    waiting.length === 0 ? undefined : capacity.changed({ requests: waiting }),
    announce(
      redis,
      prefix,
      { availability: decided.some(({ status }) => status === 'granted'), outbox: decided.length > 0, outcomes: messages },
      logger,
    ),
    advance(redis, prefix, items, logger),
  ]);
}

/** The fair order is advisory: without it requests are served in a less fair order, none is lost. */
async function advance(redis: RedisClient, prefix: string, items: readonly AllocateItem[], logger: Logger): Promise<void> {
  try {
    await advanceFairOrder(redis, prefix, Math.max(...items.map(({ fairStart }) => fairStart)), items.length);
  } catch (error) {
    logger.warn({ err: error }, 'the fair order could not be advanced');
  }
}
