import { Cluster, Redis } from 'ioredis';
import type { RedisAddress } from '../shared/run/redis.ts';

/**
 * A connection as one opens it who has only read BullMQ's manual. References use it: what we have tuned for our own jobs
 * (`enableAutoPipelining` for one, which slows jobs that do nothing down by a third) is no part of what we compare with.
 */
export function connectRedis({ url, clusterNodes }: RedisAddress): Redis | Cluster {
  const options = { maxRetriesPerRequest: null };
  if (clusterNodes.length === 0) return new Redis(url, options);
  const nodes = clusterNodes.map((node) => ({ host: node.split(':')[0] ?? '', port: Number(node.split(':')[1]) }));
  return new Cluster(nodes, { redisOptions: options });
}
