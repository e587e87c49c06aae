import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SchedulerClient } from '../../queues/client.ts';
import { advanceFairOrder } from '../../queues/fair-order.ts';
import { allocatePayload } from '../../queues/jobs/allocate.ts';
import { createLogger } from '../../shared/logger.ts';
import { publishOutcomes } from '../../shared/run/completion.ts';
import { createLocks } from '../../shared/run/lock.ts';
import { checked } from '../../shared/run/queue-worker.ts';
import { assertNoEviction, closeRedis, createRedis, memoryUse, whenReady } from '../../shared/run/redis.ts';
import { openFailOverBench } from '../support/fail-over-bench.ts';
import { openQueueBench, type QueueBench } from '../support/queue-bench.ts';
import { type RedisCluster, startRedisCluster } from '../support/redis-cluster.ts';

let cluster: RedisCluster;
let bench: QueueBench;

beforeAll(async () => {
  cluster = await startRedisCluster();
  bench = await openQueueBench(cluster.address);
}, 180_000);

afterAll(async () => {
  await bench.close();
  await cluster.stop();
});

describe('on a Redis Cluster', () => {
  test('a client asks, a worker answers, in a fair order', async () => {
    bench.work({
      allocate: checked(allocatePayload, async ({ requestId, fairStart, replyTo = '' }) => {
        const outcome = { status: 'granted', requestId, allocation: { allocationId: requestId } };
        await advanceFairOrder(bench.redis, bench.prefix, fairStart, 1);
        await publishOutcomes(bench.redis, bench.prefix, [{ replyTo, id: requestId, outcome }]);
        return outcome;
      }),
    });
    const { url, clusterNodes } = cluster.address;
    const client = new SchedulerClient({ redis: { url, clusterNodes }, service: 'orders', prefix: bench.prefix });
    const results = await client.allocateMany(
      Array.from({ length: 50 }, (_, index) => ({ userId: `user-${index}` })),
      { timeoutMs: 20_000 },
    );
    expect(results.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => 'granted'));
    const [first] = results;
    expect(await client.status(first !== undefined && 'requestId' in first ? first.requestId : '')).toEqual(first);
    await client.close();
  });

  test('locks on several users are taken at once', async () => {
    const locks = createLocks(bench.redis, { ttlMs: 5_000, prefix: bench.prefix, logger: createLogger('test', 'silent') });
    const lease = await locks.acquire(['user:1', 'user:2', 'user:3']);
    expect([lease.guarded, lease.held.size]).toEqual([true, 3]);
    expect((await locks.acquire(['user:2'])).held.size).toBe(0);
    await lease.release();
  });

  test('every primary is asked for its memory', async () => {
    await assertNoEviction(bench.redis);
    expect(await memoryUse(bench.redis)).toBe(0);
  });

  test('user, password and encryption come from the URL', () => {
    const address = { url: 'rediss://me:p%40ss@unused', clusterNodes: cluster.address.clusterNodes };
    const redis = createRedis('cache', address, createLogger('test', 'silent'));
    expect(redis.options).toMatchObject({ enableAutoPipelining: true, redisOptions: { username: 'me', password: 'p@ss', tls: {} } });
    closeRedis(redis);
  });

  test('a connection is ready when the slots are known', async () => {
    const redis = createRedis('producer', cluster.address, createLogger('test', 'silent'));
    await whenReady(redis, 30_000);
    expect(redis.status).toBe('ready');
    closeRedis(redis);
  });
});

describe('when the primary of a Redis Cluster is killed', () => {
  test('its replica takes over, who asks meanwhile is served, and nobody is restarted', async () => {
    const replicated = await startRedisCluster(1);
    const running = await openFailOverBench(replicated.address);
    const before = await running.askAll('before');
    await running.allGranted(before);
    const key = running.allocations.toKey('wait');
    const primary = await replicated.primaryOf(key);
    const during = running.askAll('during');
    await primary.kill();
    const since = new Date();
    await running.allGranted([...before, ...(await during), ...(await running.askAll('after'))]);
    expect(await replicated.primaryOf(key)).not.toBe(primary);
    await running.everyScheduleRuns(since);
    await running.close();
    await replicated.stop();
  }, 180_000);
});
