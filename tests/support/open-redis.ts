import { createLogger } from '../../shared/logger.ts';
import { createRedis, type RedisAddress, type RedisClient, type RedisKind, whenReady } from '../../shared/run/redis.ts';
import { redisUrl } from './redis.ts';

/** The address of the tests' Redis. */
export function redisAddress(): RedisAddress {
  return { url: redisUrl(), clusterNodes: [] };
}

/** A connection that is ready; the caller closes it (`closeRedis`). */
export async function openRedis(kind: RedisKind, address: RedisAddress = redisAddress()): Promise<RedisClient> {
  const redis = createRedis(kind, address, createLogger('test', 'silent'));
  await whenReady(redis, 30_000);
  return redis;
}
