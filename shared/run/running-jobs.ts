import type { Histogram } from 'prom-client';
import type { Logger } from '../logger.ts';

/** How the reason of a job begins that took longer than its deadline. */
export const OVERRAN = 'the job took longer than';

/** What is needed of a BullMQ job. */
interface JobLike {
  readonly id?: string | undefined;
  readonly name: string;
  readonly attemptsMade: number;
}

/** One job that is being worked on; its abort controller is made only if somebody asks for the signal. */
export interface RunningJob {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  readonly signal: AbortSignal;
}

export interface RunningJobs {
  /** Runs a job under the deadline. */
  run(job: JobLike, work: (running: RunningJob) => Promise<unknown>): Promise<unknown>;
  abort(id: string, reason: string): void;
  /** Aborts and fails every job, so that the queue can hand it to another worker. */
  giveUp(reason: string): void;
  size(): number;
  /** `performance.now()` of the last job taken. */
  lastTaken(): number;
  close(): void;
}

class Running implements RunningJob {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  readonly began = performance.now();
  readonly fail: (error: Error) => void;
  #controller: AbortController | undefined;
  #aborted: Error | undefined;

  constructor(job: JobLike, fail: (error: Error) => void) {
    this.id = job.id ?? '';
    this.name = job.name;
    this.attempt = job.attemptsMade + 1;
    this.fail = fail;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    this.#aborted ??= reason;
    this.#controller?.abort(this.#aborted);
  }
}

/**
 * Keeps the jobs a worker is busy with. One timer looks at all of them instead of one timer each: at some thousand jobs
 * a second the difference shows, and a deadline of seconds does not need precision.
 */
export function createRunningJobs({
  queue,
  deadlineMs,
  duration,
  logger,
}: {
  readonly queue: string;
  readonly deadlineMs: number;
  readonly duration: Histogram<'queue' | 'outcome'>;
  readonly logger: Logger;
}): RunningJobs {
  const running = new Set<Running>();
  const completed = duration.labels({ queue, outcome: 'completed' });
  const failed = duration.labels({ queue, outcome: 'failed' });
  let lastTaken = performance.now();
  const timer = setInterval(failOverdue, Math.min(250, deadlineMs / 4));
  timer.unref();

  function failOverdue(): void {
    const now = performance.now();
    for (const job of running) {
      if (now - job.began < deadlineMs) continue;
      fail(job, new Error(`${OVERRAN} ${deadlineMs} ms`));
    }
  }

  function fail(job: Running, error: Error): void {
    job.abort(error);
    finish(job, failed);
    job.fail(error);
  }

  function run(job: JobLike, work: (running: RunningJob) => Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const entry = new Running(job, reject);
      lastTaken = entry.began;
      running.add(entry);
      work(entry).then(
        (result) => {
          finish(entry, completed);
          resolve(result);
        },
        (error: unknown) => {
          finish(entry, failed);
          reject(error);
        },
      );
    });
  }

  function finish(entry: Running, histogram: { observe(seconds: number): void }): void {
    // A handler that ignored its deadline may still come back; it was counted then.
    if (running.delete(entry)) histogram.observe((performance.now() - entry.began) / 1_000);
  }

  function abort(id: string, reason: string): void {
    for (const job of running) if (job.id === id) job.abort(new Error(reason));
  }

  function giveUp(reason: string): void {
    if (running.size > 0) logger.warn({ running: running.size }, `jobs given up: ${reason}`);
    for (const job of running) fail(job, new Error(reason));
  }

  return { run, abort, giveUp, size: () => running.size, lastTaken: () => lastTaken, close: () => clearInterval(timer) };
}
