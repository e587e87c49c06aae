import type { NoticeData, NoticeType } from '../../shared/notices/catalogue.ts';
import { notice, type OutboxNotice } from '../../shared/notices/notice.ts';

export const START = '2026-01-02T03:00:00.000Z';
export const END = '2026-01-02T04:30:00.000Z';
export const holder = { allocationId: 'a1', deviceId: 'd1' };
const booking = { reservationId: 'r1', reservedStartTime: START, reservedEndTime: END };

/** One notice of every form. */
export const NOTICE_EXAMPLES: readonly { [T in NoticeType]: readonly [T, NoticeData<T>] }[NoticeType][] = [
  ['allocation_success', { ...holder, expiresAt: END }],
  ['allocation_failed', { requestId: 'q1', code: 'QUOTA_EXCEEDED' }],
  ['allocation_expired', { ...holder, expiredAt: END, durationSeconds: 5_400 }],
  ['allocation_expiring_soon', { ...holder, expiresAt: END, minutesLeft: 10 }],
  ['allocation_extended', { ...holder, newExpiresAt: END, additionalMinutes: 30, automatic: false }],
  ['device_released', { ...holder, durationSeconds: 59, endReason: 'device_failed' }],
  ['queue_joined', { queueId: 'e1', maxWaitMinutes: 30 }],
  ['queue_fulfilled', { queueId: 'e1', ...holder, waitedMinutes: 3 }],
  ['queue_expired', { queueId: 'e1', waitedMinutes: 30 }],
  ['queue_cancelled', { queueId: 'e1', cancelReason: null }],
  ['reservation_created', { ...booking, deviceId: null }],
  ['reservation_cancelled', { ...booking, cancelReason: 'no time' }],
  ['reservation_reminder', { ...booking, minutesLeft: 15 }],
  ['reservation_executed', { ...booking, ...holder }],
  ['reservation_failed', { ...booking, code: 'NO_CAPACITY' }],
  ['reservation_expired', booking],
  ['billing_alert', { alert: 'arrears', causeId: 'c1', overdueAmount: 12.5, overdueDays: 3 }],
  ['billing_alert', { alert: 'payment_failed', causeId: 'c1', amount: null }],
  ['billing_alert', { alert: 'balance_low', causeId: 'c1', currentBalance: 0 }],
  ['billing_alert', { alert: 'restored', causeId: 'c1' }],
];

/** The outbox row of an example. */
export function exampleRow([type, data]: (typeof NOTICE_EXAMPLES)[number], userId = 'ann'): OutboxNotice {
  return notice(type, { userId, ...data } as { userId: string } & NoticeData<typeof type>);
}
