import { QUEUES, type QueueName } from '../../queues/names.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { type QueueWorker, startQueueWorker, type WorkerTiming } from '../../shared/run/queue-worker.ts';
import type { RedisAddress } from '../../shared/run/redis.ts';
import type { DeliveryDeps } from './delivery-deps.ts';
import { deliveryHandlers } from './handlers.ts';

/** What the delivery worker works with. */
export interface DeliveryDependencies extends DeliveryDeps {
  readonly redisAddress: RedisAddress;
  readonly prefix: string;
  readonly metrics: Metrics;
  readonly timing?: Partial<WorkerTiming>;
}

/** Jobs at once for each neighbour; each carries up to a hundred rows, and the gates before the neighbours bound the calls. */
const CONCURRENCY = 4;

/** Longest run of one job, ms. Below the lease of its rows. */
export const DELIVERY_JOB_DEADLINE_MS = 45_000;

/**
 * Starts delivering usage reports and bills; close it to let the jobs in hand finish. Each neighbour has slots of its own, so
 * that bills taken slowly do not keep reports of use waiting. Until 0.1 bills came through the queue of the reports, too.
 */
export function startDelivery(deps: DeliveryDependencies): QueueWorker {
  const workers = [startOn(QUEUES.delivery, deps), startOn(QUEUES.billing, deps)];
  return {
    healthy: () => workers.every((worker) => worker.healthy()),
    running: () => workers.reduce((sum, worker) => sum + worker.running(), 0),
    close: async () => void (await Promise.all(workers.map((worker) => worker.close()))),
  };
}

function startOn(queue: QueueName, deps: DeliveryDependencies): QueueWorker {
  return startQueueWorker({
    queue,
    prefix: deps.prefix,
    redis: deps.redisAddress,
    concurrency: CONCURRENCY,
    handlers: deliveryHandlers(deps),
    deadlineMs: DELIVERY_JOB_DEADLINE_MS,
    metrics: deps.metrics,
    logger: deps.logger,
    ...(deps.timing === undefined ? {} : { timing: deps.timing }),
  });
}
