// A worker process that is killed right after its first commit, before it can tell anybody: SIGKILL, nothing is cleaned up.
import { parseArgs } from 'node:util';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { createRedis, whenReady } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import { startAllocation } from '../../workers/allocation/start-allocation.ts';

const { values } = parseArgs({ options: { database: { type: 'string' }, redis: { type: 'string' }, prefix: { type: 'string' } } });
const { database = '', redis: redisUrl = '', prefix = '' } = values;
const logger = createLogger('dying-worker', 'silent');
const redisAddress = { url: redisUrl, clusterNodes: [] };
const redis = createRedis('cache', redisAddress, logger);
await whenReady(redis, 30_000);
const store = createStore({
  databaseUrl: database,
  poolSize: 2,
  acquireTimeoutMs: 5_000,
  statementTimeoutMs: 5_000,
  applicationName: 'dying-worker',
});

startAllocation({
  store: {
    ...store,
    transaction: async (work) => {
      await store.transaction(work);
      process.kill(process.pid, 'SIGKILL');
      return new Promise(() => undefined);
    },
  },
  redis,
  redisAddress,
  prefix,
  quota: { quotaOf: async () => ({ kind: 'unavailable', reason: 'not asked in this test' }) },
  balance: { balanceOf: async () => ({ kind: 'unavailable', reason: 'not asked in this test' }) },
  outagePolicy: { quotaAllowOnError: true, fallbackMaxDevices: 5, billingAllowOnError: true },
  strategy: () => RESOURCE_BASED,
  concurrency: 10,
  groupMax: 10,
  groupParallel: 1,
  locks: true,
  metrics: createMetrics('dying-worker'),
  logger,
  timing: { lockDuration: 2_000, stalledInterval: 1_000 },
});
