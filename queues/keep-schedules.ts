import { type JobSchedulerJson, Queue } from 'bullmq';
import type { Cluster, Redis } from 'ioredis';
import { maintenanceJob } from './jobs/maintenance.ts';
import { QUEUES, type QueueName } from './names.ts';
import type { Recurrence, Schedule } from './schedules.ts';

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
 * The next run is set by the clock of the worker that takes one. Of a worker whose clock is ahead it lies so far ahead, and once
 * that worker is gone nobody would run anything until then: such a schedule is begun anew.
 *
 * @throws whatever Redis reports at the first time; later failures are logged and tried again
 */
export async function keepSchedules(options: KeepSchedulesOptions): Promise<{ close(): Promise<void> }> {
  const { redis, prefix, schedules, everyMs, onLost, logger } = options;
  const queue = new Queue(options.queue ?? QUEUES.maintenance, { connection: redis, prefix, skipWaitingForReady: true });
  queue.on('error', (error) => logger.warn({ err: error }, 'queue error'));
  await putRight(queue, redis, schedules);
  let looking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    looking = look();
  }, everyMs);

  async function look(): Promise<void> {
    try {
      const { missing, ahead } = await putRight(queue, redis, schedules);
      if (ahead.length > 0)
        logger.warn({ ahead }, 'schedules were ahead of the clock of Redis and are begun anew: a worker has a wrong clock');
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

/** Clocks of machines that keep the time differ by less, ms. */
const CLOCK_SLACK_MS = 5_000;

/** @returns names of the schedules that were not there as they should be, and of those whose next run was too far ahead */
async function putRight(queue: Queue, redis: Redis | Cluster, schedules: readonly Schedule[]) {
  const there = new Map((await queue.getJobSchedulers(0, -1)).map((scheduler) => [scheduler.key, scheduler]));
  // Read after the schedules: what is too far ahead now was so then.
  const [seconds] = await redis.time();
  const missing = schedules.filter(({ name, recurrence }) => !hasTimes(there.get(name), recurrence));
  const ahead = schedules.filter(
    (schedule) => !missing.includes(schedule) && isAhead(there.get(schedule.name), schedule.recurrence, Number(seconds) * 1_000),
  );
  // Put over the one that is there, it would go on from the run that is too far ahead.
  for (const { name } of ahead) await queue.removeJobScheduler(name);
  for (const { name, recurrence } of [...missing, ...ahead]) {
    const repeat = 'everyMs' in recurrence ? { every: recurrence.everyMs } : { pattern: recurrence.cron, tz: recurrence.tz };
    await queue.upsertJobScheduler(name, repeat, { name, data: { by: 'schedule' }, opts: maintenanceJob.options });
  }
  return { missing: missing.map(({ name }) => name), ahead: ahead.map(({ name }) => name) };
}

function hasTimes(scheduler: JobSchedulerJson | undefined, recurrence: Recurrence): boolean {
  if (scheduler === undefined) return false;
  return 'everyMs' in recurrence
    ? Number(scheduler.every) === recurrence.everyMs
    : scheduler.pattern === recurrence.cron && scheduler.tz === recurrence.tz;
}

function isAhead(scheduler: JobSchedulerJson | undefined, recurrence: Recurrence, nowMs: number): boolean {
  return 'everyMs' in recurrence && (scheduler?.next ?? 0) > nowMs + recurrence.everyMs + CLOCK_SLACK_MS;
}
