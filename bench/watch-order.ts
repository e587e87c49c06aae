import { QueueEvents } from 'bullmq';
import { QUEUES } from '../queues/names.ts';
import { connectRedis } from './connect-redis.ts';
import { PREFIX } from './place.ts';
import type { BenchServers } from './scenario.ts';

/** Listens in which order allocate jobs are taken; each counts the first time. `stop` gives their ids. */
export async function watchOrder({ redisUrl, redisClusterNodes }: BenchServers): Promise<{ stop(): Promise<readonly string[]> }> {
  const connection = connectRedis({ url: redisUrl, clusterNodes: redisClusterNodes });
  // From its beginning: what is taken before the first read must not be missed.
  const events = new QueueEvents(QUEUES.allocate, { connection, prefix: PREFIX, lastEventId: '0-0' });
  const taken = new Set<string>();
  events.on('active', ({ jobId }) => void taken.add(jobId));
  await events.waitUntilReady();
  return {
    stop: async () => {
      await events.close();
      connection.disconnect();
      return [...taken];
    },
  };
}

/** How many of `order` were taken after one that they should have gone before; whoever was not seen is left out. */
export function outOfOrder(order: readonly string[], taken: ReadonlyMap<string, number>): number {
  const places = order.flatMap((id) => taken.get(id) ?? []);
  return places.filter((place, index) => index > 0 && place < (places[index - 1] ?? place)).length;
}
