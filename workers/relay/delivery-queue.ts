import { Queue } from 'bullmq';
import { type DeliverPayload, deliverJob, deliverJobName } from '../../queues/jobs/deliver.ts';
import { SchedulerError } from '../../shared/errors.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import type { DeliveryQueue } from './hand-out.ts';

/**
 * The delivery queue as the relay sees it.
 *
 * @param redis  a connection that fails fast (`producer`); the caller closes it
 */
export function openDeliveryQueue(redis: RedisClient, prefix: string): DeliveryQueue & { close(): Promise<void> } {
  const queue = new Queue<DeliverPayload>(deliverJob.queue, { connection: redis, prefix, skipWaitingForReady: true });
  // Said by the connection itself already; an `error` nobody listens to would end the process.
  queue.on('error', () => undefined);
  return {
    deliver: async (payloads) => {
      const jobs = payloads.map((data) => ({
        name: deliverJobName(data),
        data,
        opts: { ...deliverJob.options, jobId: deliverJob.idOf(data) },
      }));
      await asQueueError(queue.addBulk(jobs));
    },
    waiting: () => asQueueError(queue.getJobCountByTypes('waiting', 'prioritized', 'delayed')),
    close: () => queue.close(),
  };
}

async function asQueueError<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new SchedulerError('QUEUE_UNAVAILABLE', { cause: error, retryAfter: 1 });
  }
}
