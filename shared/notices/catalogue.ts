import { z } from 'zod';
import { END_REASONS } from '../allocation/end-reason.ts';
import type { Said } from './words.ts';

/*
 * Everything people are told, one row a form. A notice's type is the word the notification-service knows; where one type
 * says different things, each is a form of its own (`billing_alert.arrears`).
 *
 * In the texts `{field}` is a field of the data, `{field:time}` a moment in the configured time zone, `{field:span}`
 * seconds as hours and minutes, `{field:ended}` an end reason and `{field:refused}` an error code in words.
 * notice.test.ts holds every text to its fields, in both languages.
 */

export type Channel = 'websocket' | 'email' | 'sms';
export type Priority = 'low' | 'normal' | 'high' | 'urgent';

const id = z.string().min(1);
const instant = z.iso.datetime();
const minutes = z.int().nonnegative();
const holder = { allocationId: id, deviceId: id };
const booking = { reservationId: id, reservedStartTime: instant, reservedEndTime: instant };

const noticeData = {
  allocation_success: z.object({ ...holder, expiresAt: instant }),
  allocation_failed: z.object({ requestId: id, code: z.string() }),
  allocation_expired: z.object({ ...holder, expiredAt: instant, durationSeconds: z.int().nonnegative() }),
  allocation_expiring_soon: z.object({ ...holder, expiresAt: instant, minutesLeft: minutes }),
  allocation_extended: z.object({ ...holder, newExpiresAt: instant, additionalMinutes: minutes, automatic: z.boolean() }),
  device_released: z.object({ ...holder, durationSeconds: z.int().nonnegative(), endReason: z.enum(END_REASONS) }),
  queue_joined: z.object({ queueId: id, maxWaitMinutes: minutes }),
  queue_fulfilled: z.object({ queueId: id, ...holder, waitedMinutes: minutes }),
  queue_expired: z.object({ queueId: id, waitedMinutes: minutes }),
  queue_cancelled: z.object({ queueId: id, cancelReason: z.string().nullable() }),
  reservation_created: z.object({ ...booking, deviceId: id.nullable() }),
  reservation_cancelled: z.object({ ...booking, cancelReason: z.string().nullable() }),
  reservation_reminder: z.object({ ...booking, minutesLeft: minutes }),
  reservation_executed: z.object({ ...booking, ...holder }),
  reservation_failed: z.object({ ...booking, code: z.string() }),
  reservation_expired: z.object(booking),
  /** `causeId` is the event that told us: each is passed on once. Amounts are the billing-service's own numbers. */
  billing_alert: z.discriminatedUnion('alert', [
    z.object({ alert: z.literal('arrears'), causeId: id, overdueAmount: z.number().nullable(), overdueDays: z.number().nullable() }),
    z.object({ alert: z.literal('payment_failed'), causeId: id, amount: z.number().nullable() }),
    z.object({ alert: z.literal('balance_low'), causeId: id, currentBalance: z.number().nullable() }),
    z.object({ alert: z.literal('restored'), causeId: id }),
  ]),
} as const;

export type NoticeType = keyof typeof noticeData;

/** The data of one type. */
export type NoticeData<T extends NoticeType = NoticeType> = Readonly<z.infer<(typeof noticeData)[T]>>;

/** The data of each type, without the user. Times are ISO 8601 in UTC. */
export const NOTICE_DATA: { readonly [T in NoticeType]: z.ZodType<NoticeData<T>> } = noticeData;

/** What billing has to say. */
export type BillingAlert = NoticeData<'billing_alert'>['alert'];

/** A type, or one of the things a type says. */
export type NoticeForm = Exclude<NoticeType, 'billing_alert'> | `billing_alert.${BillingAlert}`;

/** How a form is told: by which ways, how urgently, in which words. `once` names the data that make it the same notice. */
export interface FormRow {
  readonly channels: readonly Channel[];
  readonly priority: Priority;
  readonly once: readonly string[];
  readonly title: Said;
  readonly message: Said;
}
