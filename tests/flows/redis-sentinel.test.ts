import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLogger } from '../../shared/logger.ts';
import { closeRedis, createRedis } from '../../shared/run/redis.ts';
import { eventually } from '../support/eventually.ts';
import { type FailOverBench, openFailOverBench } from '../support/fail-over-bench.ts';
import { openRedis } from '../support/open-redis.ts';
import type { PrivateRedis } from '../support/private-redis.ts';
import { type RedisSentinels, startRedisSentinels } from '../support/redis-sentinels.ts';

let sentinels: RedisSentinels;
let bench: FailOverBench;

beforeAll(async () => {
  sentinels = await startRedisSentinels();
  bench = await openFailOverBench(sentinels.address);
}, 180_000);

afterAll(async () => {
  await bench.close();
  await sentinels.stop();
});

/** So many replicas know everything the primary does. */
async function replicated(primary: PrivateRedis, replicas: number): Promise<void> {
  const redis = await openRedis('cache', primary.address);
  await eventually(async () => expect(await redis.wait(replicas, 100)).toBe(replicas));
  closeRedis(redis);
}

describe('behind Sentinels', () => {
  test('who asks while the primary is killed is served by the next one, even what it had not heard of, without a restart', async () => {
    const before = await bench.askAll('before');
    await bench.allGranted(before);
    const primary = await sentinels.primary();
    await bench.allocations.pause();
    await replicated(primary, 2);
    const replicas = await sentinels.replicas();
    for (const replica of replicas) replica.signal('SIGSTOP');
    const lost = await Promise.all(Array.from({ length: 10 }, (_, index) => bench.askOverHttp(`lost-${index}`)));
    const during = bench.askAll('during');
    await primary.kill();
    const since = new Date();
    for (const replica of replicas) replica.signal('SIGCONT');
    await sentinels.untilPromoted(primary);
    await eventually(() => bench.allocations.resume(), 10_000);
    await bench.allGranted([...before, ...lost, ...(await during), ...(await bench.askAll('after'))]);
    await bench.everyScheduleRuns(since);
  }, 180_000);

  test('a primary that stands still without closing anything is left for the next one', async () => {
    const primary = await sentinels.primary();
    await replicated(primary, 1);
    primary.signal('SIGSTOP');
    const since = new Date();
    const during = bench.askAll('frozen');
    await sentinels.untilPromoted(primary);
    await bench.allGranted([...(await during), ...(await bench.askAll('thawed'))]);
    await bench.everyScheduleRuns(since);
  }, 180_000);

  test('user, password, database and encryption come from the URL, the password of the Sentinels from themselves', () => {
    const watching = { nodes: ['127.0.0.1:1', '[::1]:2'], name: 'mymaster', password: 'theirs' };
    const address = { url: 'rediss://me:p%40ss@unused/3', clusterNodes: [], sentinels: watching };
    const redis = createRedis('cache', address, createLogger('test', 'silent'));
    expect(redis.options).toMatchObject({
      ...{ username: 'me', password: 'p@ss', db: 3, tls: {}, enableTLSForSentinelMode: true },
      ...{ name: 'mymaster', sentinelPassword: 'theirs', sentinelTLS: {} },
      sentinels: [
        { host: '127.0.0.1', port: 1 },
        { host: '::1', port: 2 },
      ],
    });
    closeRedis(redis);
  });
});
