import { createBillingClient } from '../../shared/clients/billing-client.ts';
import { createBreakerBoard } from '../../shared/clients/breaker-board.ts';
import { createHttpCaller } from '../../shared/clients/http-caller.ts';
import { NEIGHBOURS } from '../../shared/clients/neighbour.ts';
import { createNotificationClient } from '../../shared/clients/notification-client.ts';
import { createServiceToken } from '../../shared/clients/service-token.ts';
import { createUsageClient } from '../../shared/clients/usage-client.ts';
import type { Config } from '../../shared/config.ts';
import { createLogger, type Logger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { readConfig } from '../../shared/read-config.ts';
import { serveMetrics } from '../../shared/run/metrics-server.ts';
import { type Life, runProcess } from '../../shared/run/process.ts';
import { openRedis } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import type { DeliveryPolicy } from './delivery-deps.ts';
import { createNoticeLimit } from './notice-limit.ts';
import { DELIVERY_JOB_DEADLINE_MS, startDelivery } from './start-delivery.ts';
import { startNotices } from './start-notices.ts';

const NAME = 'worker-delivery';

const config = readConfig();
const logger = createLogger(NAME, config.LOG_LEVEL);
await runProcess(NAME, (life) => start(life, config, logger), {
  shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT * 1_000,
  tracesTo: config.OTEL_EXPORTER_OTLP_ENDPOINT,
  logger,
});

/** Opens what deliveries need and starts them. */
async function start(life: Life, config: Config, logger: Logger): Promise<void> {
  const metrics = createMetrics(NAME);
  const store = createStore({
    databaseUrl: config.DATABASE_URL,
    poolSize: Math.min(config.DB_POOL_SIZE, 4),
    acquireTimeoutMs: config.DB_ACQUIRE_TIMEOUT_MS,
    statementTimeoutMs: config.DB_STATEMENT_TIMEOUT_MS,
    applicationName: NAME,
  });
  life.onClose('store', store.close);

  const redisAddress = config.REDIS_ADDRESS;
  const redis = await openRedis(life, 'producer', redisAddress, logger);
  const onBreaker = createBreakerBoard(redis, config.QUEUE_PREFIX, logger);
  const token = createServiceToken(config.SERVICE_TOKEN_SECRET);
  const userService = createHttpCaller({
    neighbour: { ...NEIGHBOURS.user, baseUrl: config.USER_SERVICE_URL },
    token,
    logger,
    metrics,
    onBreaker,
  });
  life.onClose('user-service', userService.close);
  const billingService = createHttpCaller({
    neighbour: { ...NEIGHBOURS.billing, baseUrl: config.BILLING_SERVICE_URL },
    token,
    logger,
    metrics,
    onBreaker,
  });
  life.onClose('billing-service', billingService.close);

  const notificationService = createHttpCaller({
    neighbour: { ...NEIGHBOURS.notification, baseUrl: config.NOTIFICATION_SERVICE_URL },
    token,
    logger,
    metrics,
    onBreaker,
  });
  life.onClose('notification-service', notificationService.close);

  const shared = { store, redisAddress, prefix: config.QUEUE_PREFIX, metrics, logger };
  const worker = startDelivery({
    ...shared,
    usage: createUsageClient(userService),
    billing: createBillingClient(billingService),
    policy: policyOf(config),
  });
  life.onClose('delivery worker', worker.close);
  const notices = startNotices({
    ...shared,
    notifications: createNotificationClient(notificationService),
    limit: createNoticeLimit(redis, config.QUEUE_PREFIX, config.NOTIFICATION_RATE_LIMIT, logger),
    manner: { language: config.NOTIFICATION_LANGUAGE, timeZone: config.NOTIFICATION_TIME_ZONE },
    policy: { ...policyOf(config), maxAttempts: config.NOTIFICATION_MAX_ATTEMPTS },
  });
  life.onClose('notice worker', notices.close);

  const health = () => ({ queue: worker.healthy(), notices: notices.healthy() });
  await serveMetrics(life, {
    host: config.METRICS_HOST,
    port: config.METRICS_PORT_OF_WORKER,
    registry: metrics.registry,
    health,
    logger,
  });
}

function policyOf(config: Config): DeliveryPolicy {
  return {
    maxAttempts: config.BILLING_MAX_ATTEMPTS,
    pause: { baseMs: config.DELIVERY_BACKOFF_BASE_MS, maxMs: config.DELIVERY_BACKOFF_MAX_MS },
    notAskedPauseMs: Math.min(5_000, config.DELIVERY_BACKOFF_MAX_MS),
    leaseMs: DELIVERY_JOB_DEADLINE_MS + 15_000,
    callMs: DELIVERY_JOB_DEADLINE_MS / 3,
  };
}
