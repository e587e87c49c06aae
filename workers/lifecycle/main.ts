import { createProducer } from '../../queues/producer.ts';
import { openBalance } from '../../shared/clients/open-balance.ts';
import type { Config } from '../../shared/config.ts';
import { createLogger, type Logger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { readConfig } from '../../shared/read-config.ts';
import { serveMetrics } from '../../shared/run/metrics-server.ts';
import { type Life, runProcess } from '../../shared/run/process.ts';
import { openRedis } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import { startExtending } from './start-extending.ts';
import { startLifecycle } from './start-lifecycle.ts';

const NAME = 'worker-lifecycle';

const config = readConfig();
const logger = createLogger(NAME, config.LOG_LEVEL);
await runProcess(NAME, (life) => start(life, config, logger), {
  shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT * 1_000,
  tracesTo: config.OTEL_EXPORTER_OTLP_ENDPOINT,
  logger,
});

/** Opens what releases and extensions need and starts ending and extending allocations. */
async function start(life: Life, config: Config, logger: Logger): Promise<void> {
  const metrics = createMetrics(NAME);
  const redisAddress = config.REDIS_ADDRESS;
  const store = createStore({
    databaseUrl: config.DATABASE_URL,
    poolSize: Math.min(config.DB_POOL_SIZE, 6),
    acquireTimeoutMs: config.DB_ACQUIRE_TIMEOUT_MS,
    statementTimeoutMs: config.DB_STATEMENT_TIMEOUT_MS,
    applicationName: NAME,
  });
  life.onClose('store', store.close);
  const redis = await openRedis(life, 'producer', redisAddress, logger);
  const producer = createProducer({ redis, prefix: config.QUEUE_PREFIX, maxWaitingJobs: config.MAX_WAITING_JOBS, logger });
  life.onClose('producer', producer.close);

  const balance = openBalance({
    baseUrl: config.BILLING_SERVICE_URL,
    secret: config.SERVICE_TOKEN_SECRET,
    redis,
    prefix: config.QUEUE_PREFIX,
    ttlSeconds: config.BALANCE_CACHE_TTL,
    lastKnownOnError: config.BILLING_ALLOW_ON_ERROR,
    metrics,
    logger,
  });
  life.onClose('billing-service', balance.close);
  const shared = {
    store,
    redis,
    redisAddress,
    prefix: config.QUEUE_PREFIX,
    concurrency: config.WORKER_CONCURRENCY,
    groupMax: config.GROUP_COMMIT_MAX,
    groupParallel: config.GROUP_COMMIT_PARALLEL,
    metrics,
    logger,
  };
  const releases = startLifecycle({ ...shared, producer, cleaningSeconds: config.CLEANING_TIMEOUT });
  life.onClose('release worker', releases.close);
  const extensions = startExtending({
    ...shared,
    balance,
    rules: {
      policies: config.RENEWAL_POLICIES,
      billingAllowOnError: config.BILLING_ALLOW_ON_ERROR,
      reserveFullTerm: config.BILLING_RESERVE_FULL_TERM,
    },
  });
  life.onClose('extend worker', extensions.close);

  const health = () => ({ queue: releases.healthy() && extensions.healthy() });
  await serveMetrics(life, {
    host: config.METRICS_HOST,
    port: config.METRICS_PORT_OF_WORKER,
    registry: metrics.registry,
    health,
    logger,
  });
}
