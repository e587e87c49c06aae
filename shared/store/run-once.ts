import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { claimRun, endRun, type RunClaim, renewRun } from './scheduled-runs.ts';
import type { Store } from './store.ts';

/** One run of a scheduled job; its result is kept and shown. */
export type Run = (signal: AbortSignal) => Promise<Readonly<Record<string, unknown>>>;

export interface RunOnceParts {
  readonly store: Store;
  readonly metrics: Pick<Metrics, 'scheduledRuns'>;
  readonly logger: Logger;
}

/** A job of the queue as it is to be run. */
export interface Tick {
  readonly job: string;
  /** The time the schedule meant, ms since 1970; nothing when somebody asked for the run. */
  readonly at: number | undefined;
  readonly signal: AbortSignal;
}

const TERM_MS = 6_000;
const RENEW_MS = 1_500;
const ASK_AGAIN_MS = 50;

/**
 * Runs a job if nobody else does: one run at a time in the whole cluster, each tick completed at most once. A tick that
 * comes while the job runs, is paused or has been overtaken does nothing; a run that somebody asked for waits its turn.
 *
 * @returns the result, or why nothing was done
 */
export async function runOnce(parts: RunOnceParts, tick: Tick, run: Run): Promise<Readonly<Record<string, unknown>>> {
  const { store, metrics } = parts;
  const claim: RunClaim = { job: tick.job, holder: randomUUID(), tick: tick.at, termMs: TERM_MS };
  while (!(await claimRun(store, claim))) {
    if (tick.at !== undefined) {
      metrics.scheduledRuns.inc({ scheduled_job: tick.job, outcome: 'skipped' });
      return { skipped: true };
    }
    await pause(ASK_AGAIN_MS, undefined, { signal: tick.signal });
  }
  return held(parts, claim, tick.signal, run);
}

async function held({ store, metrics, logger }: RunOnceParts, claim: RunClaim, given: AbortSignal, run: Run) {
  const lost = new AbortController();
  const renewal = setInterval(() => void renew(), RENEW_MS);
  const began = performance.now();

  async function renew(): Promise<void> {
    try {
      if (!(await renewRun(store, claim))) lost.abort(new Error(`the run of ${claim.job} was taken over`));
    } catch (error) {
      logger.warn({ job: claim.job, err: error }, 'the run of a scheduled job could not be renewed');
    }
  }

  try {
    const result = await run(AbortSignal.any([given, lost.signal]));
    await endRun(store, claim, performance.now() - began, { result });
    metrics.scheduledRuns.inc({ scheduled_job: claim.job, outcome: 'done' });
    return result;
  } catch (error) {
    metrics.scheduledRuns.inc({ scheduled_job: claim.job, outcome: 'failed' });
    await endRun(store, claim, performance.now() - began, { error: messageOf(error) }).catch((fault: unknown) => {
      logger.warn({ job: claim.job, err: fault }, 'a failed run could not be noted; its lease runs out');
    });
    throw error;
  } finally {
    clearInterval(renewal);
  }
}

/** The time a schedule meant, from the id BullMQ gives to its jobs (`repeat:<name>:<ms>`). */
export function tickOf(jobId: string): number | undefined {
  const ms = /:(\d{1,15})$/.exec(jobId)?.[1];
  return ms === undefined ? undefined : Number(ms);
}
