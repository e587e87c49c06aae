import { type Job, UnrecoverableError, Worker } from 'bullmq';
import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { type Checker, readTolerantly } from '../read-tolerantly.ts';
import { failureOf, spanRecorder } from '../spans.ts';
import { createJobNotes } from './job-notes.ts';
import { closeRedis, createRedis, type RedisAddress } from './redis.ts';
import { createRunningJobs, type RunningJob } from './running-jobs.ts';
import { tracedMetadata as metadataOf, tracedData } from './traced-data.ts';
import { startWatchdog } from './watchdog.ts';

/**
 * A BullMQ worker that survives what is known to go wrong with one (each line is a measured failure):
 *
 * - a worker that dies is noticed after 5–20 s, not 60 (lockDuration 15 s, stalledInterval 5 s), and a job outlives
 *   three such deaths (maxStalledCount) but not endless ones (maxStartedAttempts);
 * - a job whose lock could not be renewed may run elsewhere by now: its signal is aborted;
 * - a job has a deadline: its signal is aborted and the job fails, whether or not the handler listens;
 * - a worker whose connection is stuck while jobs wait is replaced (watchdog);
 * - closing never hangs on a Redis that is away.
 *
 * Besides BullMQ's own, no Redis command is made here per job, unless it fails or the queue is `noted`.
 */
export interface QueueWorkerOptions {
  readonly queue: string;
  /** Prefix of the keys in Redis, with a hash tag. */
  readonly prefix: string;
  readonly redis: RedisAddress;
  /** Jobs worked on at once. */
  readonly concurrency: number;
  /** By job name; a job of another name is poison and fails for good. */
  readonly handlers: Readonly<Record<string, JobHandler>>;
  /** Longest run of one job, ms. */
  readonly deadlineMs: number;
  readonly metrics: Pick<Metrics, 'jobDuration' | 'jobsStalled' | 'workerRestarts'>;
  readonly logger: Logger;
  /** Longest wait for running jobs on close, ms. */
  readonly closeTimeoutMs?: number;
  readonly timing?: Partial<WorkerTiming>;
  /** How long finished jobs stay in Redis, for jobs that do not say it themselves. */
  readonly kept?: { readonly completed: Kept; readonly failed: Kept };
  /** Whether each job says how it went, in its log and its progress. For queues of few jobs: it is two more round trips each. */
  readonly noted?: boolean;
}

interface Kept {
  readonly age: number;
  readonly count: number;
  readonly limit: number;
}

/** Times of one worker, ms; the defaults are the measured good ones. */
export interface WorkerTiming {
  readonly lockDuration: number;
  readonly stalledInterval: number;
  /** How long jobs may wait while this worker takes none, before it is replaced. */
  readonly watchdogMs: number;
  /** How long an idle worker waits to be woken before it looks by itself. */
  readonly idleMs: number;
}

/** A job as its handler sees it. `signal` is aborted at the deadline, when the lock is lost and on a forced close. */
export interface JobContext {
  readonly id: string;
  readonly name: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly signal: AbortSignal;
}

/** Answers a job. A refusal is a return value; throw only for faults, `UnrecoverableError` for what no retry can heal. */
export type JobHandler = (data: unknown, context: JobContext) => Promise<unknown>;

export interface QueueWorker {
  /** Whether the worker is connected and taking jobs. */
  healthy(): boolean;
  /** Jobs being worked on. */
  running(): number;
  /** Takes no more jobs, waits for the running ones up to `closeTimeoutMs`, then lets go. Never hangs. */
  close(): Promise<void>;
}

/**
 * How long finished jobs stay: `age` (s) and `count` bound what stays, `limit` what one completion may remove, since an
 * age alone can block Redis while it clears a backlog. Said here once instead of in each waiting job (some 130 bytes).
 */
export const KEPT: { readonly completed: Kept; readonly failed: Kept } = {
  completed: { age: 600, count: 10_000, limit: 1_000 },
  failed: { age: 24 * 3_600, count: 10_000, limit: 1_000 },
};

const DEFAULT_TIMING: WorkerTiming = { lockDuration: 15_000, stalledInterval: 5_000, watchdogMs: 20_000, idleMs: 5_000 };
const MAX_STALLED_COUNT = 3;
const MAX_STARTED_ATTEMPTS = 25;
const CLOSE_TIMEOUT_MS = 20_000;
/** How long a worker that is given up may take to say goodbye, ms. */
const LET_GO_MS = 500;

/**
 * Puts the check of its payload in front of a handler: Redis may hold anything, also what an older or a newer version wrote.
 * A payload that does not fit is poison: no retry can heal it. It stays among the failed jobs, where it can be retried by hand.
 */
export function checked<T>(schema: Checker<T>, handle: (payload: T, context: JobContext) => Promise<unknown>): JobHandler {
  return (data, context) => {
    const parsed = readTolerantly(schema, data);
    if (!parsed.success) return Promise.reject(new UnrecoverableError(`payload is not valid: ${messageOf(parsed.error)}`));
    return handle(parsed.data, context);
  };
}

/** Starts working on a queue; connects in the background and for as long as it takes. */
export function startQueueWorker(options: QueueWorkerOptions): QueueWorker {
  const { queue, prefix, metrics, closeTimeoutMs = CLOSE_TIMEOUT_MS, kept = KEPT } = options;
  const timing = { ...DEFAULT_TIMING, ...options.timing };
  const logger = options.logger.child({ queue });
  const jobs = createRunningJobs({ queue, deadlineMs: options.deadlineMs, duration: metrics.jobDuration, logger });
  // A counter that is first seen at 1 has not grown for Prometheus: it is there before the first of its kind.
  metrics.jobsStalled.inc({ queue }, 0);
  metrics.workerRestarts.inc({ queue }, 0);
  let current = open();
  let closing = false;

  function open() {
    const connection = createRedis('worker', options.redis, logger);
    const worker = new WatchedWorker(queue, work, {
      connection,
      prefix,
      concurrency: options.concurrency,
      lockDuration: timing.lockDuration,
      stalledInterval: timing.stalledInterval,
      drainDelay: timing.idleMs / 1_000,
      maxStalledCount: MAX_STALLED_COUNT,
      maxStartedAttempts: MAX_STARTED_ATTEMPTS,
      removeOnComplete: kept.completed,
      removeOnFail: kept.failed,
      // After a lost connection BullMQ pauses this long before it asks again; its own 15 s is an outage of its own.
      runRetryDelay: 1_000,
      ...withTelemetry(),
    });
    worker.on('error', (error) => logger.warn({ err: error }, 'queue worker error'));
    worker.on('failed', (job, error) =>
      logger.warn({ jobId: job?.id, job: job?.name, attempt: job?.attemptsMade, err: error }, 'job failed'),
    );
    worker.on('stalled', (jobId) => {
      metrics.jobsStalled.inc({ queue });
      logger.warn({ jobId }, 'job taken back from a worker that fell silent');
    });
    worker.on('lockRenewalFailed', (jobIds) => {
      for (const jobId of jobIds) jobs.abort(jobId, 'the lock of the job is lost');
    });
    return { worker, connection };
  }

  function work(job: Job<unknown>): Promise<unknown> {
    const handler = Object.hasOwn(options.handlers, job.name) ? options.handlers[job.name] : undefined;
    if (handler === undefined) return Promise.reject(new UnrecoverableError(`no handler for a job named ${JSON.stringify(job.name)}`));
    const span = spanRecorder()?.current();
    const data = span === undefined ? job.data : tracedData(job.data);
    const done = jobs.run(
      job,
      noted(job, (running) => handler(data, running)),
    );
    if (span === undefined) return done;
    return done.catch((error: unknown) => {
      span.fail(failureOf(error));
      throw error;
    });
  }

  /** Notes on the job why an attempt failed and, where that is asked for, how it went. */
  function noted(job: Job<unknown>, work: (running: RunningJob) => Promise<unknown>): (running: RunningJob) => Promise<unknown> {
    const { log } = createJobNotes(job, logger);
    return async (running) => {
      const began = performance.now();
      if (options.noted === true) await log(`attempt ${running.attempt} has begun`, 0);
      try {
        const result = await work(running);
        if (options.noted === true) await log(`done after ${Math.round(performance.now() - began)} ms: ${JSON.stringify(result)}`, 100);
        return result;
      } catch (error) {
        await log(`attempt ${running.attempt} failed after ${Math.round(performance.now() - began)} ms: ${messageOf(error)}`);
        throw error;
      }
    };
  }

  async function restart(): Promise<void> {
    metrics.workerRestarts.inc({ queue });
    const stuck = current;
    current = open();
    await letGo(
      stuck,
      stuck.worker.close().then(() => true),
    );
  }

  async function letGo({ worker, connection }: ReturnType<typeof open>, closed: Promise<unknown>): Promise<void> {
    if ((await within(closed, LET_GO_MS)) === undefined) {
      logger.warn('queue worker did not close in time; letting go');
      await worker.stopRenewing();
    }
    const blocking = await within(Promise.resolve(worker.getBackend().blockingClient), LET_GO_MS);
    if (blocking !== undefined && blocking.status !== 'end') blocking.disconnect();
    closeRedis(connection);
  }

  // close() never resolves while Redis is away, and a second, forced one returns the same promise: it is raced everywhere.
  async function close(): Promise<void> {
    closing = true;
    await watchdog.close();
    const closed = current.worker.close().then(() => true);
    await within(closed, closeTimeoutMs);
    jobs.giveUp('the worker is closing');
    await letGo(current, closed);
    jobs.close();
  }

  const watchdog = startWatchdog({
    queue,
    prefix,
    redis: options.redis,
    quietMs: timing.watchdogMs,
    lastTaken: jobs.lastTaken,
    busy: () => jobs.size() > 0,
    restart,
    logger,
  });

  return {
    healthy: () => !closing && current.connection.status === 'ready' && current.worker.isRunning(),
    running: jobs.size,
    close,
  };
}

/** Said at all only where spans are recorded. */
function withTelemetry() {
  const telemetry = spanRecorder()?.telemetry;
  return telemetry === undefined ? {} : { telemetry };
}

/** BullMQ's worker, with one thing more that can be done to it. */
class WatchedWorker extends Worker<unknown> {
  /**
   * Who enqueues without recording spans still says which trace the job belongs to. A scheduled one begins a trace: it was
   * enqueued by the run before it, and all of them would be one that never ends.
   */
  protected override createJob(...[json, id]: Parameters<Worker<unknown>['createJob']>): Job<unknown> {
    const job = super.createJob(json, id);
    if (job.repeatJobKey !== undefined) delete job.opts.telemetry;
    else if (job.opts.telemetry === undefined) {
      const metadata = metadataOf(job.data);
      if (metadata !== undefined) job.opts.telemetry = { metadata };
    }
    return job;
  }

  /** Stops renewing locks without waiting for the jobs: they are handed to other workers once their locks expire. */
  stopRenewing(): Promise<void> {
    return this.lockManager.close();
  }
}

/** The value of `promise`, or undefined after `ms`. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
