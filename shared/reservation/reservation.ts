import type { EndReason } from '../allocation/end-reason.ts';

/** Every state of a reservation; see the diagram in README.md. */
export const RESERVATION_STATUSES = ['pending', 'confirmed', 'executing', 'completed', 'failed', 'cancelled', 'expired'] as const;

export type ReservationStatus = (typeof RESERVATION_STATUSES)[number];

/** Which states may follow which. A state that leads nowhere is final. */
const NEXT: Readonly<Record<ReservationStatus, readonly ReservationStatus[]>> = {
  pending: ['confirmed', 'executing', 'failed', 'cancelled', 'expired'],
  confirmed: ['pending', 'executing', 'failed', 'cancelled', 'expired'],
  executing: ['completed', 'failed'],
  completed: [],
  failed: [],
  cancelled: [],
  expired: [],
};

/** Whether this change is one of the diagram. */
export function mayBecome(from: ReservationStatus, to: ReservationStatus): boolean {
  return NEXT[from].includes(to);
}

/** Whether it has not begun: it may be changed and cancelled, and holds its time. */
export function isOpen(status: ReservationStatus): boolean {
  return status === 'pending' || status === 'confirmed';
}

/** Ends that took the device from its holder although the reservation went on: it failed. After any other it is completed. */
export const FAILING_ENDS = ['no_show', 'device_failed', 'device_maintenance', 'device_deleted'] as const satisfies readonly EndReason[];

/** What an executing reservation becomes when its allocation ends. */
export function statusAfterEnd(reason: EndReason): 'completed' | 'failed' {
  return FAILING_ENDS.some((failing) => failing === reason) ? 'failed' : 'completed';
}

/** The code a reservation fails with when its allocation ends like that. */
export function failureAfterEnd(reason: EndReason): 'NO_SHOW' | 'NO_DEVICE_AVAILABLE' {
  return reason === 'no_show' ? 'NO_SHOW' : 'NO_DEVICE_AVAILABLE';
}
