import type { BillingItem } from '../../shared/clients/billing-client.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import { type ClaimedBatch, type ClaimedBill, claimBills, failBills, giveBackBills, settleBills } from '../../shared/store/ledger.ts';
import { type Answered, addUp, type DeliveryDeps, type DeliveryOutcome, NOTHING_DELIVERED, sortAnswers } from './delivery-deps.ts';

/**
 * Bills ended allocations: claim → report → note, a batch at a time. A batch without an answer is sent again as it was.
 *
 * Killed between any two lines it loses nothing: the lease ends, the batch is sent again under the same keys.
 *
 * @param allocationIds  those of the wake-up
 * @param signal         batches claimed but not begun when it is aborted are given back
 */
export async function deliverBilling(deps: DeliveryDeps, allocationIds: readonly string[], signal: AbortSignal): Promise<DeliveryOutcome> {
  let outcome = NOTHING_DELIVERED;
  for (const batch of await claimBills(deps.store, allocationIds, deps.policy.leaseMs)) {
    faultPoint('bill.1');
    const answers = signal.aborted ? notBegun(batch) : await reportBatch(deps, batch);
    faultPoint('bill.2');
    outcome = addUp(deps, 'billing', outcome, await note(deps, answers));
    faultPoint('bill.3');
  }
  return outcome;
}

async function reportBatch({ billing, policy }: DeliveryDeps, { bills }: ClaimedBatch): Promise<Answered[]> {
  const billed = await billing.reportBillingBatch(bills.map(toItem), { deadlineMs: policy.callMs });
  return billed.map(({ allocationId, answer }) => ({ id: allocationId, answer }));
}

function notBegun({ bills }: ClaimedBatch): Answered[] {
  return bills.map(({ allocationId }) => ({
    id: allocationId,
    answer: { kind: 'unavailable', reason: 'the job has to end', asked: false },
  }));
}

function toItem(bill: ClaimedBill): BillingItem {
  return {
    deviceId: bill.deviceId,
    deviceName: bill.deviceName,
    userId: bill.userId,
    tenantId: bill.tenantId,
    allocationId: bill.allocationId,
    deviceConfig: { cpuCores: bill.cpuCores, memoryMB: bill.memoryMB, storageMB: bill.storageMB },
    duration: bill.durationSeconds,
    startTime: bill.startedAt.toISOString(),
    endTime: bill.endedAt.toISOString(),
  };
}

async function note({ store, policy, logger }: DeliveryDeps, answers: readonly Answered[]): Promise<DeliveryOutcome> {
  const { delivered, givenBack, failed } = sortAnswers(answers);
  await settleBills(store, delivered);
  await giveBackBills(store, givenBack, policy.notAskedPauseMs);
  const dead = await failBills(store, failed, policy.pause, policy.maxAttempts);
  if (dead.length > 0) logger.error({ allocationIds: dead, reason: failed[0]?.reason }, 'bills given up after their last attempt');
  return { delivered: delivered.length, givenBack: givenBack.length, failed: failed.length - dead.length, dead: dead.length };
}
