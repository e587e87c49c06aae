import { createJobCounter } from '../../queues/count-jobs.ts';
import { createProducer } from '../../queues/producer.ts';
import type { Config } from '../../shared/config.ts';
import { createLogger, type Logger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { readConfig } from '../../shared/read-config.ts';
import { serveMetrics } from '../../shared/run/metrics-server.ts';
import { type Life, runProcess } from '../../shared/run/process.ts';
import { openRedis } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import { deliveryQueueOf } from './delivery-queue.ts';
import { startRelay } from './start-relay.ts';

const NAME = 'worker-relay';

const config = readConfig();
const logger = createLogger(NAME, config.LOG_LEVEL);
await runProcess(NAME, (life) => start(life, config, logger), {
  shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT * 1_000,
  tracesTo: config.OTEL_EXPORTER_OTLP_ENDPOINT,
  logger,
});

/** Opens what the relay needs and starts it. */
async function start(life: Life, config: Config, logger: Logger): Promise<void> {
  const metrics = createMetrics(NAME);
  const address = config.REDIS_ADDRESS;
  const store = createStore({
    databaseUrl: config.DATABASE_URL,
    poolSize: Math.min(config.DB_POOL_SIZE, 4),
    acquireTimeoutMs: config.DB_ACQUIRE_TIMEOUT_MS,
    statementTimeoutMs: config.DB_STATEMENT_TIMEOUT_MS,
    applicationName: NAME,
  });
  life.onClose('store', store.close);

  const redis = await openRedis(life, 'producer', address, logger);
  const subscriber = await openRedis(life, 'subscriber', address, logger);
  const prefix = config.QUEUE_PREFIX;
  const producer = createProducer({ redis, prefix, maxWaitingJobs: config.MAX_WAITING_JOBS, logger });
  life.onClose('producer', producer.close);
  const deliveries = deliveryQueueOf(producer, redis, prefix);
  const jobs = createJobCounter(redis, prefix);
  life.onClose('counter of jobs', jobs.close);

  const broker = { url: config.RABBITMQ_URL };
  const relay = await startRelay({
    store,
    deliveries,
    jobs,
    subscriber,
    prefix,
    logger,
    metrics,
    broker,
    schedule: { redisAddress: address, redis, metrics },
  });
  life.onClose('relay', relay.close);

  const health = () => ({ broker: ['ready', 'off', 'blocked'].includes(relay.brokerState()) });
  await serveMetrics(life, {
    host: config.METRICS_HOST,
    port: config.METRICS_PORT_OF_WORKER,
    registry: metrics.registry,
    health,
    logger,
  });
}
