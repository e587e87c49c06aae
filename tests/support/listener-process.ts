// A listener process of its own with queues of its own, so that it can be killed: SIGKILL, nothing is cleaned up. Says "ready" once it listens.
import { parseArgs } from 'node:util';
import { createProducer } from '../../queues/producer.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { createRedis, whenReady } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import { startListener } from '../../workers/listener/start-listener.ts';
import { eventually } from './eventually.ts';

const { DATABASE_URL = '', REDIS_URL = '', QUEUE_PREFIX = '', RABBITMQ_URL = '' } = process.env;
const { values } = parseArgs({ options: { queues: { type: 'string' } } });
const { queues = '' } = values;
const logger = createLogger('listener-process', 'silent');
const redisAddress = { url: REDIS_URL, clusterNodes: [] };
const redis = createRedis('producer', redisAddress, logger);
await whenReady(redis, 30_000);
const timeouts = { acquireTimeoutMs: 5_000, statementTimeoutMs: 60_000 };

const listener = await startListener({
  store: createStore({ databaseUrl: DATABASE_URL, poolSize: 3, applicationName: 'listener-process', ...timeouts }),
  redis,
  redisAddress,
  prefix: QUEUE_PREFIX,
  producer: createProducer({ redis, prefix: QUEUE_PREFIX, maxWaitingJobs: 1_000, logger }),
  forgetQuota: () => Promise.resolve(),
  forgetBalance: () => Promise.resolve(),
  ending: { cleaningSeconds: 0 },
  relocate: false,
  rules: { gapSeconds: 0 },
  paymentFailureThreshold: 3,
  broker: { url: RABBITMQ_URL },
  queuePrefix: queues,
  metrics: createMetrics('listener-process'),
  logger,
});
await eventually(() => {
  if (!listener.isListening()) throw new Error('the listener does not listen yet');
}, 20_000);
process.stdout.write('ready\n');
