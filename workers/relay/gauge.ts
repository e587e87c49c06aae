import { JOB_STATES, type JobCounter } from '../../queues/count-jobs.ts';
import type { Metrics } from '../../shared/metrics.ts';
import { type Backlog, readBacklog } from '../../shared/store/backlog.ts';
import type { Store } from '../../shared/store/store.ts';

/** The gauges of the whole cluster. */
export type ClusterGauges = Pick<
  Metrics,
  'outboxPending' | 'ledgerOwedBills' | 'ledgerOwedSeconds' | 'deadLetters' | 'waiting' | 'waitingOldest' | 'liveAllocations' | 'queueJobs'
>;

const CHANNELS = ['event', 'usage', 'notice'];

/**
 * Counts what the whole cluster has to do. Only the leading relay does, and the others say nothing, so that a sum over
 * processes is right.
 */
export async function gauge(store: Store, jobs: JobCounter, metrics: ClusterGauges, leads: boolean): Promise<void> {
  if (!leads) return silence(metrics);
  const [backlog, counted] = await Promise.all([readBacklog(store), jobs.count()]);
  gaugeBacklog(backlog, metrics);
  for (const { queue, counts } of counted) {
    for (const state of JOB_STATES) metrics.queueJobs.set({ queue, state }, counts[state]);
  }
}

function gaugeBacklog({ outbox, owed, deadLetters, waiting, liveAllocations }: Backlog, metrics: ClusterGauges): void {
  for (const channel of CHANNELS) metrics.outboxPending.set({ channel }, outbox.get(channel) ?? 0);
  metrics.ledgerOwedBills.set(owed.bills);
  metrics.ledgerOwedSeconds.set(owed.seconds);
  for (const [kind, count] of Object.entries(deadLetters)) metrics.deadLetters.set({ kind }, count);
  // A tier nobody waits in any more is not in the rows.
  for (const past of [metrics.waiting, metrics.waitingOldest]) past.reset();
  for (const { tier, count, oldestSeconds } of waiting) {
    metrics.waiting.set({ tier }, count);
    metrics.waitingOldest.set({ tier }, oldestSeconds);
  }
  metrics.liveAllocations.set(liveAllocations);
}

function silence(metrics: ClusterGauges): void {
  const { outboxPending, ledgerOwedBills, ledgerOwedSeconds, deadLetters, waiting, waitingOldest, liveAllocations, queueJobs } = metrics;
  for (const mine of [outboxPending, deadLetters, waiting, waitingOldest, queueJobs]) mine.reset();
  for (const single of [ledgerOwedBills, ledgerOwedSeconds, liveAllocations]) single.remove();
}
