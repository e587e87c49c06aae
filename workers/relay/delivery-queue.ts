import { QUEUES } from '../../queues/names.ts';
import type { Producer } from '../../queues/producer.ts';
import { SchedulerError } from '../../shared/errors.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import type { DeliveryQueue } from './hand-out.ts';

/**
 * The delivery queue as the relay sees it.
 *
 * @param redis  a connection that fails fast (`producer`)
 */
export function deliveryQueueOf(producer: Pick<Producer, 'deliver'>, redis: RedisClient, prefix: string): DeliveryQueue {
  return {
    deliver: (payloads) => producer.deliver(payloads),
    waiting: async (queue) => {
      try {
        return await redis.llen(`${prefix}:${QUEUES[queue]}:wait`);
      } catch (error) {
        throw new SchedulerError('QUEUE_UNAVAILABLE', { cause: error, retryAfter: 1 });
      }
    },
  };
}
