import { type Config, loadConfig } from '../../shared/config.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { startMetricsServer } from '../../shared/run/metrics-server.ts';
import { type Life, runProcess } from '../../shared/run/process.ts';
import { assertNoEviction, closeRedis, createRedis, whenReady } from '../../shared/run/redis.ts';
import { createStore } from '../../shared/store/store.ts';
import { openDeliveryQueue } from './delivery-queue.ts';
import { startRelay } from './start-relay.ts';

const NAME = 'worker-relay';

const loaded = loadConfig(process.env);
if (loaded.ok) {
  const logger = createLogger(NAME, loaded.config.LOG_LEVEL);
  for (const warning of loaded.warnings) logger.warn(warning);
  await runProcess(NAME, (life) => start(life, loaded.config, logger), {
    shutdownTimeoutMs: loaded.config.SHUTDOWN_TIMEOUT * 1_000,
    logger,
  });
} else {
  for (const { variable, problem } of loaded.problems) process.stderr.write(`${variable} ${problem}\n`);
  process.exitCode = 1;
}

async function start(life: Life, config: Config, logger: ReturnType<typeof createLogger>): Promise<void> {
  const metrics = createMetrics(NAME);
  const address = { url: config.REDIS_URL, clusterNodes: config.REDIS_CLUSTER_NODES };
  const store = createStore({
    databaseUrl: config.DATABASE_URL,
    poolSize: Math.min(config.DB_POOL_SIZE, 4),
    acquireTimeoutMs: config.DB_ACQUIRE_TIMEOUT_MS,
    statementTimeoutMs: config.DB_STATEMENT_TIMEOUT_MS,
    applicationName: NAME,
  });
  life.onClose('store', store.close);

  const producer = createRedis('producer', address, logger);
  life.onClose('redis producer', () => closeRedis(producer));
  const subscriber = createRedis('subscriber', address, logger);
  life.onClose('redis subscriber', () => closeRedis(subscriber));
  await whenReady(producer, 30_000);
  await assertNoEviction(producer);
  const deliveries = openDeliveryQueue(producer, config.QUEUE_PREFIX);
  life.onClose('delivery queue', deliveries.close);

  const broker = { url: config.RABBITMQ_URL };
  const relay = await startRelay({ store, deliveries, subscriber, prefix: config.QUEUE_PREFIX, logger, metrics, broker });
  life.onClose('relay', relay.close);

  const health = () => ({ broker: ['ready', 'off', 'blocked'].includes(relay.brokerState()) });
  const server = await startMetricsServer({ host: config.METRICS_HOST, port: metricsPort(), registry: metrics.registry, health, logger });
  logger.info({ port: server.port }, 'metrics are served');
  life.onClose('metrics server', server.close);
}

/** The configured port is the API's unless it is said for this process. */
function metricsPort(): number {
  return Number(process.env['METRICS_PORT'] ?? 0);
}
