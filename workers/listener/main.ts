import { createProducer } from '../../queues/producer.ts';
import { createBalanceClient } from '../../shared/clients/balance-client.ts';
import { createBalanceFacts } from '../../shared/clients/balance-facts.ts';
import { createHttpCaller } from '../../shared/clients/http-caller.ts';
import { NEIGHBOURS } from '../../shared/clients/neighbour.ts';
import { createQuotaClient } from '../../shared/clients/quota-client.ts';
import { createQuotaFacts } from '../../shared/clients/quota-facts.ts';
import { createServiceToken } from '../../shared/clients/service-token.ts';
import type { Config } from '../../shared/config.ts';
import { createLogger, type Logger } from '../../shared/logger.ts';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';
import { readConfig } from '../../shared/read-config.ts';
import { serveMetrics } from '../../shared/run/metrics-server.ts';
import { type Life, runProcess } from '../../shared/run/process.ts';
import { openRedis, type RedisClient } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import { startListener } from './start-listener.ts';

const NAME = 'worker-listener';

const config = readConfig();
const logger = createLogger(NAME, config.LOG_LEVEL);
await runProcess(NAME, (life) => start(life, config, logger), {
  shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT * 1_000,
  tracesTo: config.OTEL_EXPORTER_OTLP_ENDPOINT,
  logger,
});

/** Opens what events need and starts listening. */
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

  const listener = await startListener({
    store,
    redis,
    redisAddress,
    prefix: config.QUEUE_PREFIX,
    producer,
    ...openCaches(life, config, redis, metrics, logger),
    ending: { cleaningSeconds: config.CLEANING_TIMEOUT },
    relocate: config.RELOCATE_ON_FAILURE,
    rules: { gapSeconds: Math.max(config.TURNAROUND_SECONDS, config.CLEANING_TIMEOUT) },
    paymentFailureThreshold: config.PAYMENT_FAILURE_THRESHOLD,
    broker: { url: config.RABBITMQ_URL },
    metrics,
    logger,
  });
  life.onClose('listener', listener.close);

  const health = () => ({ queue: listener.healthy(), broker: config.RABBITMQ_URL === '' || listener.isListening() });
  await serveMetrics(life, {
    host: config.METRICS_HOST,
    port: config.METRICS_PORT_OF_WORKER,
    registry: metrics.registry,
    health,
    logger,
  });
}

/** The caches of quotas and balances, to drop what has changed; nobody is asked here. */
function openCaches(life: Life, config: Config, redis: RedisClient, metrics: Metrics, logger: Logger) {
  const token = createServiceToken(config.SERVICE_TOKEN_SECRET);
  const users = createHttpCaller({ neighbour: { ...NEIGHBOURS.user, baseUrl: config.USER_SERVICE_URL }, token, logger, metrics });
  const billing = createHttpCaller({ neighbour: { ...NEIGHBOURS.billing, baseUrl: config.BILLING_SERVICE_URL }, token, logger, metrics });
  life.onClose('user-service', users.close);
  life.onClose('billing-service', billing.close);
  const shared = { redis, prefix: config.QUEUE_PREFIX, metrics, logger };
  const quota = createQuotaFacts({
    ...shared,
    client: createQuotaClient(users),
    ttlSeconds: config.QUOTA_CACHE_TTL,
    lastKnownOnError: false,
  });
  const balance = createBalanceFacts({ ...shared, client: createBalanceClient(billing), ttlSeconds: config.BALANCE_CACHE_TTL });
  return { forgetQuota: quota.forget, forgetBalance: balance.forget };
}
