import { createProducer } from '../../queues/producer.ts';
import { schedulesFor } from '../../queues/schedules.ts';
import { openBalance } from '../../shared/clients/open-balance.ts';
import type { Config } from '../../shared/config.ts';
import { createLogger, type Logger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { readConfig } from '../../shared/read-config.ts';
import { serveMetrics } from '../../shared/run/metrics-server.ts';
import { type Life, runProcess } from '../../shared/run/process.ts';
import { openRedis } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import { startMaintenance } from './start-maintenance.ts';

const NAME = 'worker-maintenance';
/** Delivered outbox rows are kept this long: the invariant checker reads the last day of them. */
const OUTBOX_DAYS = 2;

const config = readConfig();
const logger = createLogger(NAME, config.LOG_LEVEL);
await runProcess(NAME, (life) => start(life, config, logger), {
  shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT * 1_000,
  tracesTo: config.OTEL_EXPORTER_OTLP_ENDPOINT,
  logger,
});

/** Opens what the scheduled jobs need and starts them. */
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

  const worker = await startMaintenance({
    store,
    redis,
    redisAddress,
    prefix: config.QUEUE_PREFIX,
    producer,
    cleaningSeconds: config.CLEANING_TIMEOUT,
    heartbeatGraceSeconds: config.HEARTBEAT_GRACE,
    retention: {
      allocationDays: config.RETENTION_DAYS,
      idempotencyHours: config.IDEMPOTENCY_RETENTION_HOURS,
      outboxDays: OUTBOX_DAYS,
      inboxDays: config.RETENTION_DAYS,
    },
    autoExtend: {
      balance,
      rules: {
        policies: config.RENEWAL_POLICIES,
        billingAllowOnError: config.BILLING_ALLOW_ON_ERROR,
        reserveFullTerm: config.BILLING_RESERVE_FULL_TERM,
      },
      leadSeconds: config.AUTO_EXTEND_LEAD,
    },
    schedules: schedulesFor({ expiryTickSeconds: config.EXPIRY_TICK, cleanupTimeZone: config.CLEANUP_TZ }),
    metrics,
    logger,
  });
  life.onClose('maintenance worker', worker.close);

  const health = () => ({ queue: worker.healthy() });
  await serveMetrics(life, {
    host: config.METRICS_HOST,
    port: config.METRICS_PORT_OF_WORKER,
    registry: metrics.registry,
    health,
    logger,
  });
}
