import { createBalanceClient } from '../../shared/clients/balance-client.ts';
import { createBalanceFacts } from '../../shared/clients/balance-facts.ts';
import { createBatchReader } from '../../shared/clients/batch-reader.ts';
import { createHttpCaller } from '../../shared/clients/http-caller.ts';
import { NEIGHBOURS } from '../../shared/clients/neighbour.ts';
import { createQuotaClient } from '../../shared/clients/quota-client.ts';
import { createQuotaFacts } from '../../shared/clients/quota-facts.ts';
import { createServiceToken } from '../../shared/clients/service-token.ts';
import type { Config } from '../../shared/config.ts';
import { createLogger, type Logger } from '../../shared/logger.ts';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { readConfig } from '../../shared/read-config.ts';
import { serveMetrics } from '../../shared/run/metrics-server.ts';
import { type Life, runProcess } from '../../shared/run/process.ts';
import { openRedis, type RedisClient } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import { startAllocation } from './start-allocation.ts';
import { watchStrategy } from './strategy-watch.ts';

const NAME = 'worker-allocation';

const config = readConfig();
const logger = createLogger(NAME, config.LOG_LEVEL);
await runProcess(NAME, (life) => start(life, config, logger), { shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT * 1_000, logger });

/** Opens what allocations need and starts deciding. */
async function start(life: Life, config: Config, logger: Logger): Promise<void> {
  const metrics = createMetrics(NAME);
  const redisAddress = { url: config.REDIS_URL, clusterNodes: config.REDIS_CLUSTER_NODES };
  const store = createStore({
    databaseUrl: config.DATABASE_URL,
    poolSize: config.DB_POOL_SIZE,
    acquireTimeoutMs: config.DB_ACQUIRE_TIMEOUT_MS,
    statementTimeoutMs: config.DB_STATEMENT_TIMEOUT_MS,
    applicationName: NAME,
  });
  life.onClose('store', store.close);
  const redis = await openRedis(life, 'cache', redisAddress, logger);
  const strategy = await watchStrategy(store, RESOURCE_BASED, logger);
  life.onClose('strategy', strategy.close);

  const worker = startAllocation({
    store,
    redis,
    redisAddress,
    prefix: config.QUEUE_PREFIX,
    ...openNeighbours(life, config, redis, metrics, logger),
    outagePolicy: {
      quotaAllowOnError: config.QUOTA_ALLOW_ON_ERROR,
      fallbackMaxDevices: config.QUOTA_FALLBACK_MAX_DEVICES,
      billingAllowOnError: config.BILLING_ALLOW_ON_ERROR,
    },
    strategy: strategy.current,
    concurrency: config.WORKER_CONCURRENCY,
    groupMax: config.GROUP_COMMIT_MAX,
    groupParallel: config.GROUP_COMMIT_PARALLEL,
    locks: config.USER_LOCKS,
    metrics,
    logger,
  });
  life.onClose('allocation worker', worker.close);

  const health = () => ({ queue: worker.healthy() });
  await serveMetrics(life, {
    host: config.METRICS_HOST,
    port: config.METRICS_PORT_OF_WORKER,
    registry: metrics.registry,
    health,
    logger,
  });
}

/** Quota and balance, each behind its breaker and a cache all processes share. */
function openNeighbours(life: Life, config: Config, redis: RedisClient, metrics: Metrics, logger: Logger) {
  const token = createServiceToken(config.SERVICE_TOKEN_SECRET);
  const userService = createHttpCaller({ neighbour: { ...NEIGHBOURS.user, baseUrl: config.USER_SERVICE_URL }, token, logger, metrics });
  const billingService = createHttpCaller({
    neighbour: { ...NEIGHBOURS.billing, baseUrl: config.BILLING_SERVICE_URL },
    token,
    logger,
    metrics,
  });
  life.onClose('user-service', userService.close);
  life.onClose('billing-service', billingService.close);
  const shared = { redis, prefix: config.QUEUE_PREFIX, reader: createBatchReader(redis), metrics, logger };
  return {
    quota: createQuotaFacts({
      ...shared,
      client: createQuotaClient(userService),
      ttlSeconds: config.QUOTA_CACHE_TTL,
      lastKnownOnError: config.QUOTA_ALLOW_ON_ERROR,
    }),
    balance: createBalanceFacts({ ...shared, client: createBalanceClient(billingService), ttlSeconds: config.BALANCE_CACHE_TTL }),
  };
}
