import { EXTEND, extendPayload, MAX_EXTENDS } from '../../queues/jobs/extend.ts';
import { QUEUES } from '../../queues/names.ts';
import type { BalanceFacts } from '../../shared/clients/balance-facts.ts';
import { SchedulerError } from '../../shared/errors.ts';
import type { RenewalRules } from '../../shared/renewal/decide-extend.ts';
import type { ExtendResult, ProposedExtension } from '../../shared/renewal/plan-extends.ts';
import { announce } from '../../shared/run/announce.ts';
import { createCollector } from '../../shared/run/collector.ts';
import { checked, type QueueWorker, startQueueWorker } from '../../shared/run/queue-worker.ts';
import { extendGroup } from '../../shared/store/extend-group.ts';
import { type ExtendParts, extend } from './extend.ts';
import type { LifecycleDependencies } from './start-lifecycle.ts';

/** What extending works with: as for releases, and what it is decided by. */
export interface ExtendingDependencies extends Omit<LifecycleDependencies, 'producer' | 'cleaningSeconds'> {
  readonly balance: Pick<BalanceFacts, 'balanceOf'>;
  readonly rules: RenewalRules;
}

/** Longest run of one job, ms. */
const JOB_DEADLINE_MS = 15_000;

/** Starts extending allocations: a queue and a worker of its own, so that nothing else is ever in front of it. */
export function startExtending(deps: ExtendingDependencies): QueueWorker {
  const { store, redis, prefix, metrics, logger, rules } = deps;
  const collector = createCollector<ProposedExtension, ExtendResult>({
    // A batch comes all at once and is not to be cut: one transaction whatever its size, two at most while others come as well.
    maxSize: Math.max(deps.groupMax, MAX_EXTENDS),
    maxParallel: deps.groupParallel,
    run: async (proposals) => {
      const results = await extendGroup(store, proposals, rules);
      if (results.some(({ status }) => status === 'extended')) {
        await announce(redis, prefix, { availability: false, outbox: true, outcomes: [] }, logger);
      }
      return results;
    },
    // What is no error of the catalogue is the fault of a row: it stops nobody else.
    isOfOne: (error) => !(error instanceof SchedulerError),
    onGroup: (size, seconds) => {
      metrics.groupSize.observe({ group: 'extend' }, size);
      metrics.groupDuration.observe({ group: 'extend' }, seconds);
    },
  });
  const parts: ExtendParts = { store, balanceOf: deps.balance.balanceOf.bind(deps.balance), rules, collector, metrics };
  return startQueueWorker({
    queue: QUEUES.extend,
    prefix,
    redis: deps.redisAddress,
    concurrency: deps.concurrency,
    handlers: {
      [EXTEND]: checked(extendPayload, async (payload) => {
        const outcome = await extend(parts, payload);
        const { replyTo, extendId: id } = payload;
        if (replyTo !== undefined)
          await announce(redis, prefix, { availability: false, outbox: false, outcomes: [{ replyTo, id, outcome }] }, logger);
        return outcome;
      }),
    },
    deadlineMs: JOB_DEADLINE_MS,
    metrics,
    logger,
    ...(deps.timing === undefined ? {} : { timing: deps.timing }),
  });
}
