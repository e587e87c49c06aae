import type { Producer } from '../../queues/producer.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { Store } from '../../shared/store/store.ts';
import { tidyStrategies } from '../../shared/store/strategies.ts';
import { claimUndecided, timeOutRequests, type UndecidedRequest } from '../../shared/store/undecided.ts';

export interface ReconcileParts {
  readonly store: Store;
  readonly producer: Producer;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** A request is looked after once its job had this long to run, s; 10 unless said otherwise. */
  readonly graceSeconds?: number;
}

const GRACE_S = 10;
/** Requests looked at in one round. */
const BATCH = 1_000;

/**
 * Repairs what a lost Redis or a killed process left behind: pending requests without a job are handed out again, oldest
 * first; requests past their deadline are ended. Running a request twice changes nothing, so a doubt is resolved by
 * handing it out.
 *
 * @returns how many were handed out again and timed out
 */
export async function reconcile(parts: ReconcileParts, signal: AbortSignal): Promise<{ handedOut: number; timedOut: number }> {
  const timedOut = (await timeOutRequests(parts.store, BATCH)).length;
  let handedOut = 0;
  for (;;) {
    signal.throwIfAborted();
    const undecided = await claimUndecided(parts.store, parts.graceSeconds ?? GRACE_S, BATCH);
    handedOut += await handOutLost(parts, undecided);
    if (undecided.length < BATCH) break;
  }
  parts.metrics.reconciled.inc({ repair: 'request-handed-out' }, handedOut);
  parts.metrics.reconciled.inc({ repair: 'request-timed-out' }, timedOut);
  if (handedOut + timedOut > 0) parts.logger.warn({ handedOut, timedOut }, 'reconciled requests');
  await tidy(parts);
  return { handedOut, timedOut };
}

async function handOutLost({ producer }: ReconcileParts, undecided: readonly UndecidedRequest[]): Promise<number> {
  const onTheirWay = await producer.underWay(undecided.map(({ requestId }) => requestId));
  const lost = undecided.filter(({ requestId }) => !onTheirWay.has(requestId));
  await producer.allocateAgain(lost);
  return lost.length;
}

/** What strategies that are not in force any more have left. The fleet may be too busy for it; then it stays until the next round. */
async function tidy({ store, logger }: ReconcileParts): Promise<void> {
  try {
    const dropped = await tidyStrategies(store);
    if (dropped.length > 0) logger.info({ dropped }, 'dropped the indexes of strategies that are not in force');
  } catch (error) {
    logger.warn({ err: error }, 'could not tidy up after the last strategy; the next round tries again');
  }
}
