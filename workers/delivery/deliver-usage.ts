import { faultPoint } from '../../shared/fault-point.ts';
import { failRows, giveBackRows } from '../../shared/store/outbox-attempts.ts';
import { type ClaimedUsage, claimUsageReports, markUsageReported } from '../../shared/store/usage-reports.ts';
import { type Answered, addUp, type DeliveryDeps, type DeliveryOutcome, NOTHING_DELIVERED, sortAnswers } from './delivery-deps.ts';

/**
 * Tells the user-service of changed use: claim → report → note, and then the reports that were waiting behind the
 * delivered ones, so the two of an allocation leave in order and without another wake-up.
 *
 * Killed between any two lines it loses nothing: the lease ends, the report is sent again under the same key.
 *
 * @param ids     outbox ids of the wake-up
 * @param signal  no further reports are claimed once it is aborted
 */
export async function deliverUsage(deps: DeliveryDeps, ids: readonly string[], signal: AbortSignal): Promise<DeliveryOutcome> {
  let outcome = NOTHING_DELIVERED;
  let waiting = ids;
  while (waiting.length > 0 && !signal.aborted) {
    const claimed = await claimUsageReports(deps.store, waiting, deps.policy.leaseMs);
    faultPoint('report.1');
    const answers = await Promise.all(claimed.map((report) => reportOne(deps, report)));
    faultPoint('report.2');
    const noted = await note(deps, answers);
    faultPoint('report.3');
    outcome = addUp(deps, 'usage', outcome, noted.outcome);
    waiting = noted.next;
  }
  return outcome;
}

async function reportOne({ usage, policy }: DeliveryDeps, { id, traceId, ...report }: ClaimedUsage): Promise<Answered> {
  const answer = await usage.reportUsage(report, { deadlineMs: policy.callMs, traceId: traceId ?? undefined });
  return { id, answer };
}

async function note(
  { store, policy, logger }: DeliveryDeps,
  answers: readonly Answered[],
): Promise<{ outcome: DeliveryOutcome; next: readonly string[] }> {
  const { delivered, givenBack, failed } = sortAnswers(answers);
  const next = await markUsageReported(store, delivered);
  await giveBackRows(
    store,
    'usage',
    givenBack.map((id) => ({ id, waitMs: policy.notAskedPauseMs })),
  );
  const dead = await failRows(store, 'usage', failed, policy.pause, policy.maxAttempts);
  if (dead.length > 0) logger.error({ outboxIds: dead, reason: failed[0]?.reason }, 'usage reports given up after their last attempt');
  return {
    outcome: { delivered: delivered.length, givenBack: givenBack.length, failed: failed.length - dead.length, dead: dead.length },
    next,
  };
}
