import type { Config } from '../shared/config.ts';
import { createLogger, type Logger } from '../shared/logger.ts';
import { createMetrics } from '../shared/metrics.ts';
import { readConfig } from '../shared/read-config.ts';
import { serveMetrics } from '../shared/run/metrics-server.ts';
import { type Life, runProcess } from '../shared/run/process.ts';
import { publicSettings } from './public-settings.ts';
import { type ApiOptions, startApi } from './start-api.ts';

const NAME = 'api';

const config = readConfig();
const logger = createLogger(NAME, config.LOG_LEVEL);
await runProcess(NAME, (life) => start(life, config, logger), {
  shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT * 1_000,
  tracesTo: config.OTEL_EXPORTER_OTLP_ENDPOINT,
  logger,
});

/** Starts the HTTP API and the listener of its metrics. */
async function start(life: Life, config: Config, logger: Logger): Promise<void> {
  const metrics = createMetrics(NAME);
  const { port } = await startApi(life, { ...optionsFrom(config), metrics, logger });
  await serveMetrics(life, {
    host: config.METRICS_HOST,
    port: config.METRICS_PORT,
    registry: metrics.registry,
    health: () => ({ http: true }),
    logger,
  });
  logger.info({ port }, `the API listens on http://${config.HOST}:${port}`);
}

function optionsFrom(config: Config): Omit<ApiOptions, 'metrics' | 'logger'> {
  return {
    host: config.HOST,
    port: config.PORT,
    production: config.NODE_ENV === 'production',
    trustProxy: config.TRUST_PROXY,
    tokens: { userSecret: config.JWT_SECRET, serviceSecret: config.SERVICE_TOKEN_SECRET, allowedServices: config.SERVICE_ALLOW_LIST },
    rateLimits: {
      read: config.RATE_LIMIT_READ,
      write: config.RATE_LIMIT_WRITE,
      batch: config.RATE_LIMIT_BATCH,
      serviceFactor: config.RATE_LIMIT_SERVICE_FACTOR,
    },
    prefix: config.QUEUE_PREFIX,
    maxWaitingJobs: config.MAX_WAITING_JOBS,
    reservations: {
      gapSeconds: Math.max(config.TURNAROUND_SECONDS, config.CLEANING_TIMEOUT),
      horizonDays: config.RESERVATION_HORIZON_DAYS,
    },
    renewal: {
      policies: config.RENEWAL_POLICIES,
      billingAllowOnError: config.BILLING_ALLOW_ON_ERROR,
      reserveFullTerm: config.BILLING_RESERVE_FULL_TERM,
    },
    publicSettings: publicSettings(config),
    store: {
      databaseUrl: config.DATABASE_URL,
      poolSize: config.DB_POOL_SIZE,
      acquireTimeoutMs: config.DB_ACQUIRE_TIMEOUT_MS,
      statementTimeoutMs: config.DB_STATEMENT_TIMEOUT_MS,
      applicationName: NAME,
    },
    redis: config.REDIS_ADDRESS,
    rabbitmqUrl: config.RABBITMQ_URL,
    availableCacheTtlS: config.AVAILABLE_CACHE_TTL,
    cleaningSeconds: config.CLEANING_TIMEOUT,
  };
}
