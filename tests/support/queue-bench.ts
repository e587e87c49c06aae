import { createLogger } from '../../shared/logger.ts';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';
import { type JobHandler, type QueueWorker, type QueueWorkerOptions, startQueueWorker } from '../../shared/run/queue-worker.ts';
import { closeRedis, type RedisAddress, type RedisClient } from '../../shared/run/redis.ts';
import { openRedis, redisAddress } from './open-redis.ts';
import { createTestPrefix } from './redis.ts';

/** A queue of a test's own, with a connection to look at it and workers that are closed with it. */
export interface QueueBench {
  readonly prefix: string;
  readonly redis: RedisClient;
  readonly address: RedisAddress;
  readonly metrics: Metrics;
  work(handlers: Readonly<Record<string, JobHandler>>, options?: Partial<QueueWorkerOptions>): QueueWorker;
  close(): Promise<void>;
}

export async function openQueueBench(address: RedisAddress = redisAddress()): Promise<QueueBench> {
  const { prefix, clean } = createTestPrefix();
  const redis = await openRedis('producer', address);
  const metrics = createMetrics('test');
  const logger = createLogger('test', 'silent');
  const workers: QueueWorker[] = [];
  return {
    prefix,
    redis,
    address,
    metrics,
    work: (handlers, options = {}) => {
      const worker = startQueueWorker({
        queue: 'allocate',
        prefix,
        redis: address,
        concurrency: 10,
        deadlineMs: 10_000,
        handlers,
        metrics,
        logger,
        closeTimeoutMs: 2_000,
        ...options,
      });
      workers.push(worker);
      return worker;
    },
    close: async () => {
      await Promise.all(workers.map((worker) => worker.close()));
      closeRedis(redis);
      if (address.url === redisAddress().url) await clean();
    },
  };
}

/** The value of a counter or the number of observations of a histogram. */
export async function metricValue(metrics: Metrics, name: string, labels: Readonly<Record<string, string>>): Promise<number> {
  const metric = (await metrics.registry.getMetricsAsJSON()).find((each) => each.name === name);
  const values: readonly { value: number; metricName?: string; labels: object }[] = metric?.values ?? [];
  const matching = values.filter(
    ({ labels: own, metricName }) =>
      (metricName === undefined || metricName.endsWith('_count')) &&
      Object.entries(labels).every(([label, value]) => Reflect.get(own, label) === value),
  );
  return matching.reduce((sum, { value }) => sum + value, 0);
}
