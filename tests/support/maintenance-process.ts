// A maintenance process of its own, so that it can be killed: SIGKILL, nothing is cleaned up. Says "ready" once it works.
import { parseArgs } from 'node:util';
import { createProducer } from '../../queues/producer.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { createRedis, whenReady } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import { startMaintenance } from '../../workers/maintenance/start-maintenance.ts';
import { MAINTENANCE } from './maintenance-settings.ts';

const { values } = parseArgs({ options: { database: { type: 'string' }, redis: { type: 'string' }, prefix: { type: 'string' } } });
const { database = '', redis: redisUrl = '', prefix = '' } = values;
const logger = createLogger('maintenance-process', 'silent');
const redisAddress = { url: redisUrl, clusterNodes: [] };
const redis = createRedis('producer', redisAddress, logger);
await whenReady(redis, 30_000);
const timeouts = { acquireTimeoutMs: 5_000, statementTimeoutMs: 60_000 };
const store = createStore({ databaseUrl: database, poolSize: 3, applicationName: 'maintenance-process', ...timeouts });

await startMaintenance({
  store,
  redis,
  redisAddress,
  prefix,
  ...MAINTENANCE,
  producer: createProducer({ redis, prefix, maxWaitingJobs: 1_000, logger }),
  metrics: createMetrics('maintenance-process'),
  logger,
  timing: { lockDuration: 2_000, stalledInterval: 1_000 },
});
process.stdout.write('ready\n');
