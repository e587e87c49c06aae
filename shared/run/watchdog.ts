import type { Logger } from '../logger.ts';
import { closeRedis, createRedis, type RedisAddress, type RedisClient } from './redis.ts';

export interface WatchdogOptions {
  readonly queue: string;
  readonly prefix: string;
  readonly redis: RedisAddress;
  /** How long jobs may wait while none is taken, ms. */
  readonly quietMs: number;
  /** `performance.now()` of the last job taken. */
  readonly lastTaken: () => number;
  readonly busy: () => boolean;
  readonly restart: () => Promise<void>;
  readonly logger: Logger;
}

/**
 * Watches one queue worker from outside, on a connection of its own: jobs waiting, none taken for `quietMs` and none
 * running means its connection is stuck (seen after outages and fail-overs), so it is replaced.
 */
export function startWatchdog({ queue, prefix, redis: address, quietMs, lastTaken, busy, restart, logger }: WatchdogOptions): {
  close(): Promise<void>;
} {
  const redis = createRedis('producer', address, logger);
  let quietSince = performance.now();
  let looking: Promise<void> | undefined;
  const timer = setInterval(() => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
  }, quietMs / 4);
  timer.unref();

  async function look(): Promise<void> {
    if (busy() || redis.status !== 'ready') {
      quietSince = performance.now();
      return;
    }
    try {
      if (!(await jobsWait(redis, `${prefix}:${queue}`))) quietSince = performance.now();
      quietSince = Math.max(quietSince, lastTaken());
      if (performance.now() - quietSince < quietMs) return;
      logger.error({ queue, quietMs }, 'jobs wait and none is taken: the queue worker is replaced');
      quietSince = performance.now();
      await restart();
    } catch (error) {
      logger.warn({ err: error }, 'watchdog could not look');
    }
  }

  return {
    close: async () => {
      clearInterval(timer);
      closeRedis(redis);
      await looking;
    },
  };
}

/** Whether jobs are waiting in a queue that is not paused. */
async function jobsWait(redis: RedisClient, key: string): Promise<boolean> {
  const [waiting, prioritized, paused] = await Promise.all([
    redis.llen(`${key}:wait`),
    redis.zcard(`${key}:prioritized`),
    redis.hexists(`${key}:meta`, 'paused'),
  ]);
  return paused === 0 && waiting + prioritized > 0;
}
