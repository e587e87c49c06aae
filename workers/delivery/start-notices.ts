import { UnrecoverableError } from 'bullmq';
import { DELIVER_NOTICE, deliverPayload } from '../../queues/jobs/deliver.ts';
import { QUEUES } from '../../queues/names.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { checked, type JobHandler, type QueueWorker, startQueueWorker, type WorkerTiming } from '../../shared/run/queue-worker.ts';
import type { RedisAddress } from '../../shared/run/redis.ts';
import { deliverNotice, type NoticeDeps } from './deliver-notice.ts';
import { DELIVERY_JOB_DEADLINE_MS } from './start-delivery.ts';

/** What the worker of notices works with. */
export interface NoticeDependencies extends NoticeDeps {
  readonly redisAddress: RedisAddress;
  readonly prefix: string;
  readonly metrics: Metrics;
  readonly timing?: Partial<WorkerTiming>;
}

/** Jobs at once; each carries up to a hundred notices, and the gate before the neighbour bounds the calls. */
const CONCURRENCY = 2;

/** The handler of each job of the notice queue. */
export function noticeHandlers(deps: NoticeDeps): Readonly<Record<typeof DELIVER_NOTICE, JobHandler>> {
  return {
    [DELIVER_NOTICE]: checked(deliverPayload, async ({ kind, ids }, { signal }) => {
      if (kind !== 'notice') throw new UnrecoverableError(`a ${DELIVER_NOTICE} job carries rows of ${kind}`);
      return deliverNotice(deps, ids, signal);
    }),
  };
}

/** Starts telling people; close it to let the jobs in hand finish. */
export function startNotices(deps: NoticeDependencies): QueueWorker {
  return startQueueWorker({
    queue: QUEUES.notice,
    prefix: deps.prefix,
    redis: deps.redisAddress,
    concurrency: CONCURRENCY,
    handlers: noticeHandlers(deps),
    deadlineMs: DELIVERY_JOB_DEADLINE_MS,
    metrics: deps.metrics,
    logger: deps.logger,
    ...(deps.timing === undefined ? {} : { timing: deps.timing }),
  });
}
