import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { readCacheUse, tellCacheUse } from '../../shared/run/cache-use.ts';
import { closeRedis, createRedis, type RedisClient } from '../../shared/run/redis.ts';
import { eventually } from '../support/eventually.ts';
import { openRedis } from '../support/open-redis.ts';
import { createTestPrefix } from '../support/redis.ts';

const logger = createLogger('test', 'silent');
const { prefix, clean } = createTestPrefix();
let redis: RedisClient;

beforeAll(async () => {
  redis = await openRedis('cache');
});
afterAll(async () => {
  closeRedis(redis);
  await clean();
});

const tell = (metrics: ReturnType<typeof createMetrics>, connection = redis) =>
  tellCacheUse({
    redis: connection,
    prefix,
    counters: [
      { counter: metrics.neighbourCache, name: { label: 'cache' } },
      { counter: metrics.availableCache, name: 'available' },
    ],
    logger,
    everyMs: 5,
  });

test('the use of the caches is the sum over all processes, each read told once', async () => {
  const [one, two] = [createMetrics('one'), createMetrics('two')];
  const stops = [tell(one), tell(two)];
  one.neighbourCache.inc({ cache: 'quota', result: 'hit' }, 3);
  two.neighbourCache.inc({ cache: 'quota', result: 'shared' });
  two.neighbourCache.inc({ cache: 'quota', result: 'miss' }, 2);
  two.availableCache.inc({ result: 'hit' });
  await eventually(async () =>
    expect(await readCacheUse(redis, prefix)).toEqual([
      { cache: 'available', hits: 1, misses: 0 },
      { cache: 'quota', hits: 4, misses: 2 },
    ]),
  );
  one.neighbourCache.inc({ cache: 'quota', result: 'hit' });
  await eventually(async () => expect(await readCacheUse(redis, prefix)).toContainEqual({ cache: 'quota', hits: 5, misses: 2 }));
  for (const stop of stops) await stop();
});

test('a Redis that is away stops nobody', async () => {
  const gone = createRedis('cache', { url: 'redis://127.0.0.1:1', clusterNodes: [] }, logger);
  const metrics = createMetrics('alone');
  const stop = tell(metrics, gone);
  metrics.availableCache.inc({ result: 'hit' });
  await stop();
  closeRedis(gone);
});
