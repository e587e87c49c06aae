import type { EndReason } from '../../shared/allocation/end-reason.ts';
import { notice, type OutboxNotice } from '../../shared/notices/notice.ts';
import { announceEnded } from '../../shared/run/announce-ended.ts';
import { cancelReservation } from '../../shared/store/change-reservation.ts';
import { endAllocations } from '../../shared/store/end-allocations.ts';
import { changeUser, leftOfBlocked, liveAllocationsOf } from '../../shared/store/event-effects.ts';
import { writeNotices } from '../../shared/store/notices.ts';
import { readEnded } from '../../shared/store/outcomes.ts';
import { cancelRequest } from '../../shared/store/requests.ts';
import type { Transaction } from '../../shared/store/store.ts';
import { type Consumed, type EventParts, type EventResult, once, tellFreed } from './event-parts.ts';

/** A user is suspended or deleted: everything they have ends, and they get nothing new. */
export async function blockUser(parts: EventParts, { event, action }: Consumed<'block-user'>): Promise<EventResult> {
  const { userId, state } = action;
  const result = await once(parts, event, async (tx) => {
    await changeUser(tx, userId, { state });
    return endAll(parts, tx, userId, state === 'deleted' ? 'user_deleted' : 'user_suspended');
  });
  await withdraw(parts, userId, state);
  return result;
}

/** A user may have devices again. */
export function unblockUser(parts: EventParts, { event, action }: Consumed<'unblock-user'>): Promise<EventResult> {
  return once(parts, event, async (tx) => {
    await changeUser(tx, action.userId, { state: 'active' });
    return { freed: { users: [action.userId] } };
  });
}

/** The quota of a user has changed: what is cached is dropped, and above a lower limit the oldest allocations end. */
export async function limitUser(parts: EventParts, { event, action }: Consumed<'limit-user'>): Promise<EventResult> {
  const { userId, maxDevices } = action;
  await parts.forgetQuota(userId);
  const result = await once(parts, event, async (tx) => {
    if (maxDevices === null) return { freed: { users: [userId] } };
    await changeUser(tx, userId, {});
    const live = await liveAllocationsOf(tx, userId);
    const { freed, detail } = await end(parts, tx, live.slice(0, Math.max(0, live.length - maxDevices)), 'quota_reduced');
    return { freed: { ...freed, users: [userId] }, detail };
  });
  // Whoever was fetching while we wrote may have put the old quota back.
  await parts.forgetQuota(userId);
  return result;
}

/** A payment failed: told, counted, and at the threshold the same as arrears. */
export async function countFailedPayment(parts: EventParts, { event, action }: Consumed<'count-failed-payment'>): Promise<EventResult> {
  const { userId, amount } = action;
  const result = await once(parts, event, async (tx) => {
    const { paymentFailures } = await changeUser(tx, userId, { paymentFailures: 'add' });
    await tell(tx, notice('billing_alert', { userId, alert: 'payment_failed', causeId: event.eventId, amount }));
    if (paymentFailures < parts.paymentFailureThreshold) return { freed: undefined, detail: { paymentFailures } };
    return block(parts, tx, event.eventId, { userId, overdueAmount: null, overdueDays: null });
  });
  await withdraw(parts, userId, 'arrears');
  return result;
}

/** Arrears: everything the user has ends, nothing new until paid, and they are told by every way. */
export async function putInArrears(parts: EventParts, { event, action }: Consumed<'put-in-arrears'>): Promise<EventResult> {
  const result = await once(parts, event, (tx) => block(parts, tx, event.eventId, action));
  await parts.forgetBalance(action.userId);
  await withdraw(parts, action.userId, 'arrears');
  return result;
}

/** The balance is low: told. */
export async function warnOfBalance(parts: EventParts, { event, action }: Consumed<'warn-of-balance'>): Promise<EventResult> {
  const { userId, currentBalance } = action;
  await parts.forgetBalance(userId);
  return once(parts, event, async (tx) => {
    await tell(tx, notice('billing_alert', { userId, alert: 'balance_low', causeId: event.eventId, currentBalance }));
    return { freed: undefined };
  });
}

/** Paid: failures are forgotten, and who was in arrears may have devices again. */
export async function clearArrears(parts: EventParts, { event, action }: Consumed<'clear-arrears'>): Promise<EventResult> {
  const { userId } = action;
  await parts.forgetBalance(userId);
  return once(parts, event, async (tx) => {
    const { wasInArrears } = await changeUser(tx, userId, { arrears: false, paymentFailures: 'forget' });
    if (wasInArrears) await tell(tx, notice('billing_alert', { userId, alert: 'restored', causeId: event.eventId }));
    return { freed: { users: [userId] }, detail: { wasInArrears } };
  });
}

interface Arrears {
  readonly userId: string;
  readonly overdueAmount: number | null;
  readonly overdueDays: number | null;
}

async function block(parts: EventParts, tx: Transaction, causeId: string, { userId, overdueAmount, overdueDays }: Arrears) {
  await changeUser(tx, userId, { arrears: true });
  await tell(tx, notice('billing_alert', { userId, alert: 'arrears', causeId, overdueAmount, overdueDays }));
  return endAll(parts, tx, userId, 'arrears');
}

async function tell(tx: Transaction, row: OutboxNotice): Promise<void> {
  await writeNotices(tx, [row]);
}

async function endAll(parts: EventParts, tx: Transaction, userId: string, reason: EndReason) {
  return end(parts, tx, await liveAllocationsOf(tx, userId), reason);
}

async function end(parts: EventParts, tx: Transaction, allocationIds: readonly string[], reason: EndReason) {
  const ended = await endAllocations(
    tx,
    allocationIds.map((allocationId) => ({ allocationId, reason })),
    parts.ending,
  );
  const freed = { devices: ended.map(({ deviceId }) => deviceId), allocations: ended.map(({ allocationId }) => allocationId) };
  return { freed, detail: { ended: ended.length } };
}

/**
 * The seam to requests that wait and to reservations: takes back what a blocked user still has of them. Safe to run at any
 * time and again: it looks at the user as they are now, so it is also run for an event that was taken before, whose worker
 * may have died here.
 */
async function withdraw(parts: EventParts, userId: string, reason: string): Promise<void> {
  const { store } = parts;
  const all = { kind: 'all' } as const;
  const left = await store.transaction((tx) => leftOfBlocked(tx, userId));
  if (left.requests.length + left.reservations.length === 0) return;
  const devices: string[] = [];
  try {
    for (const id of left.requests) await cancelRequest(store, id, all);
    for (const id of left.reservations) {
      const outcome = await cancelReservation(store, id, all, reason);
      if (outcome?.status === 'reserved') devices.push(...outcome.freed);
    }
  } finally {
    // Of what was taken back before a fault the next attempt would know nothing.
    await tellFreed(parts, { devices });
    await announceEnded(parts, await readEnded(store, left.requests));
  }
}
