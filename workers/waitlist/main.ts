import { openFacts } from '../../shared/clients/open-facts.ts';
import type { Config } from '../../shared/config.ts';
import { createLogger, type Logger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { readConfig } from '../../shared/read-config.ts';
import { tellCacheUse } from '../../shared/run/cache-use.ts';
import { serveMetrics } from '../../shared/run/metrics-server.ts';
import { type Life, runProcess } from '../../shared/run/process.ts';
import { openRedis } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import { watchStrategy } from '../../shared/store/strategy-watch.ts';
import { startWaitlist } from './start-waitlist.ts';

const NAME = 'worker-waitlist';

const config = readConfig();
const logger = createLogger(NAME, config.LOG_LEVEL);
await runProcess(NAME, (life) => start(life, config, logger), {
  shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT * 1_000,
  tracesTo: config.OTEL_EXPORTER_OTLP_ENDPOINT,
  logger,
});

/** Opens what the waitlist needs and starts matching. */
async function start(life: Life, config: Config, logger: Logger): Promise<void> {
  const metrics = createMetrics(NAME);
  const redisAddress = config.REDIS_ADDRESS;
  const store = createStore({
    databaseUrl: config.DATABASE_URL,
    poolSize: Math.min(config.DB_POOL_SIZE, 4),
    acquireTimeoutMs: config.DB_ACQUIRE_TIMEOUT_MS,
    statementTimeoutMs: config.DB_STATEMENT_TIMEOUT_MS,
    applicationName: NAME,
  });
  life.onClose('store', store.close);
  const redis = await openRedis(life, 'cache', redisAddress, logger);
  const strategy = await watchStrategy(store, RESOURCE_BASED, logger);
  life.onClose('strategy', strategy.close);
  const facts = openFacts({
    redis,
    prefix: config.QUEUE_PREFIX,
    serviceSecret: config.SERVICE_TOKEN_SECRET,
    userServiceUrl: config.USER_SERVICE_URL,
    billingServiceUrl: config.BILLING_SERVICE_URL,
    quotaTtlSeconds: config.QUOTA_CACHE_TTL,
    balanceTtlSeconds: config.BALANCE_CACHE_TTL,
    lastKnownOnError: config.QUOTA_ALLOW_ON_ERROR,
    lastBalanceOnError: config.BILLING_ALLOW_ON_ERROR,
    metrics,
    logger,
  });
  life.onClose('neighbours', facts.close);
  const counters = [{ counter: metrics.neighbourCache, name: { label: 'cache' } }];
  life.onClose('cache use', tellCacheUse({ redis, prefix: config.QUEUE_PREFIX, counters, logger }));

  const worker = startWaitlist({
    store,
    redis,
    redisAddress,
    prefix: config.QUEUE_PREFIX,
    quota: facts.quota,
    balance: facts.balance,
    outagePolicy: {
      quotaAllowOnError: config.QUOTA_ALLOW_ON_ERROR,
      fallbackMaxDevices: config.QUOTA_FALLBACK_MAX_DEVICES,
      billingAllowOnError: config.BILLING_ALLOW_ON_ERROR,
      reserveFullTerm: config.BILLING_RESERVE_FULL_TERM,
    },
    strategy: strategy.current,
    metrics,
    logger,
  });
  life.onClose('waitlist worker', worker.close);

  const health = () => ({ queue: worker.healthy() });
  await serveMetrics(life, {
    host: config.METRICS_HOST,
    port: config.METRICS_PORT_OF_WORKER,
    registry: metrics.registry,
    health,
    logger,
  });
}
