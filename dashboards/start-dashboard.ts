import { Queue } from 'bullmq';
import { QUEUES } from '../queues/names.ts';
import type { Logger } from '../shared/logger.ts';
import { createLife } from '../shared/run/life.ts';
import { closeRedis, createRedis, type RedisAddress, whenReady } from '../shared/run/redis.ts';
import type { Account } from './accounts.ts';
import { createDashboardServer, type DashboardRoute } from './server.ts';

export interface DashboardOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly redis: RedisAddress;
  readonly prefix: string;
  readonly accounts: readonly Account[];
  readonly secureCookies: boolean;
  readonly trustProxy: boolean;
  readonly logger: Logger;
}

/** A dashboard that listens. */
export interface Dashboard {
  readonly url: string;
  readonly routes: readonly DashboardRoute[];
  close(): Promise<void>;
}

const READY_WITHIN_MS = 10_000;

/**
 * Starts the dashboard over every queue of the product.
 *
 * @throws SchedulerError QUEUE_UNAVAILABLE when Redis is not there, the system's error when the address is taken
 */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const { host, port, prefix, logger } = options;
  const life = createLife(logger);
  try {
    const redis = createRedis('producer', options.redis, logger);
    life.onClose('redis', () => closeRedis(redis));
    await whenReady(redis, READY_WITHIN_MS);
    const queues = Object.values(QUEUES).map((name) => {
      const queue = new Queue(name, { connection: redis, prefix, skipMetasUpdate: true });
      queue.on('error', (error) => logger.warn({ err: error, queue: name }, 'queue connection failed'));
      life.onClose(`queue ${name}`, () => queue.close());
      return queue;
    });
    const { app, routes } = await createDashboardServer({ ...options, redis, queues });
    life.onClose('server', () => app.close());
    return { url: await app.listen({ host, port }), routes, close: life.close };
  } catch (error) {
    await life.close();
    throw error;
  }
}
