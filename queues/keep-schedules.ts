import { Queue } from 'bullmq';
import type { Cluster, Redis } from 'ioredis';
import { maintenanceJob } from './jobs/maintenance.ts';
import { QUEUES, type QueueName } from './names.ts';
import type { Schedule } from './schedules.ts';

export interface KeepSchedulesOptions {
  /** A connection that fails fast; the caller closes it. */
  readonly redis: Redis | Cluster;
  readonly prefix: string;
  /** The queue whose worker runs them; `maintenance` unless said otherwise. */
  readonly queue?: QueueName;
  readonly schedules: readonly Schedule[];
  /** Time between two looks, ms. */
  readonly everyMs: number;
  /** Called when schedules that were there are gone: Redis has lost its data. */
  readonly onLost: () => Promise<void>;
  readonly logger: { warn(details: object, message: string): void };
}

/**
 * Puts the schedules into Redis and keeps them there: FLUSHALL or a lost Redis removes them without a sound, and a worker
 * whose schedules are gone looks healthy. A schedule that is there with its own times is left alone, so that any number of
 * processes may keep the same ones without moving their next run.
 *
 * @throws whatever Redis reports at the first time; later failures are logged and tried again
 */
export async function keepSchedules(options: KeepSchedulesOptions): Promise<{ close(): Promise<void> }> {
  const { redis, prefix, schedules, everyMs, onLost, logger } = options;
  const queue = new Queue(options.queue ?? QUEUES.maintenance, { connection: redis, prefix, skipWaitingForReady: true });
  queue.on('error', (error) => logger.warn({ err: error }, 'queue error'));
  await putMissing(queue, schedules);
  let looking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    looking = look();
  }, everyMs);

  async function look(): Promise<void> {
    try {
      const missing = await putMissing(queue, schedules);
      if (missing.length === 0) return;
      logger.warn({ missing }, 'schedules were gone and have been put back');
      await onLost();
    } catch (error) {
      logger.warn({ err: error }, 'schedules could not be looked after; tried again');
    }
  }

  return {
    close: async () => {
      clearInterval(timer);
      await looking;
      await queue.close();
    },
  };
}

/** @returns names of the schedules that were not there as they should be */
async function putMissing(queue: Queue, schedules: readonly Schedule[]): Promise<string[]> {
  const there = new Map((await queue.getJobSchedulers(0, -1)).map((scheduler) => [scheduler.key, scheduler]));
  const missing = schedules.filter(({ name, recurrence }) => {
    const scheduler = there.get(name);
    if (scheduler === undefined) return true;
    return 'everyMs' in recurrence
      ? Number(scheduler.every) !== recurrence.everyMs
      : scheduler.pattern !== recurrence.cron || scheduler.tz !== recurrence.tz;
  });
  for (const { name, recurrence } of missing) {
    const repeat = 'everyMs' in recurrence ? { every: recurrence.everyMs } : { pattern: recurrence.cron, tz: recurrence.tz };
    await queue.upsertJobScheduler(name, repeat, { name, data: { by: 'schedule' }, opts: maintenanceJob.options });
  }
  return missing.map(({ name }) => name);
}
