import type { Config } from '../shared/config.ts';
import { createLogger, type Logger } from '../shared/logger.ts';
import { createMetrics } from '../shared/metrics.ts';
import { readConfig } from '../shared/read-config.ts';
import { serveMetrics } from '../shared/run/metrics-server.ts';
import { type Life, runProcess } from '../shared/run/process.ts';
import { accountsFrom } from './accounts.ts';
import { startDashboard } from './start-dashboard.ts';

const NAME = 'dashboards';

const config = readConfig();
const logger = createLogger(NAME, config.LOG_LEVEL);
await runProcess(NAME, (life) => start(life, config, logger), { shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT * 1_000, logger });

async function start(life: Life, config: Config, logger: Logger): Promise<void> {
  const dashboard = await startDashboard({
    host: config.HOST,
    port: config.DASHBOARD_PORT,
    store: {
      databaseUrl: config.DATABASE_URL,
      // One part of the page at a time reads what is large; the others are short.
      poolSize: Math.min(config.DB_POOL_SIZE, 4),
      acquireTimeoutMs: config.DB_ACQUIRE_TIMEOUT_MS,
      statementTimeoutMs: config.DB_STATEMENT_TIMEOUT_MS,
      applicationName: NAME,
    },
    redis: config.REDIS_ADDRESS,
    prefix: config.QUEUE_PREFIX,
    accounts: accountsFrom(config),
    secureCookies: config.NODE_ENV === 'production',
    trustProxy: config.TRUST_PROXY,
    logger,
  });
  life.onClose('dashboard', dashboard.close);
  logger.info({ url: dashboard.url }, 'dashboard listens');

  const { registry } = createMetrics(NAME);
  await serveMetrics(life, {
    host: config.METRICS_HOST,
    port: config.METRICS_PORT_OF_WORKER,
    registry,
    health: () => ({}),
    logger,
  });
}
