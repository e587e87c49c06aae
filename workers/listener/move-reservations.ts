import { SchedulerError } from '../../shared/errors.ts';
import { changeReservation } from '../../shared/store/change-reservation.ts';
import { strandedReservations } from '../../shared/store/reservations-on-device.ts';
import { type EventParts, tellFreed } from './event-parts.ts';

/** What became of the reservations of a device that is out of service. `left`: there is no other device at their time. */
export interface MovedReservations {
  readonly moved: number;
  readonly left: number;
}

/**
 * Moves reservations that have not begun from a device that is out of service or drains to others, each in its own transaction and by every
 * rule of a change. Those that find no device stay where they are: their device may be back in time, and when they begin another one
 * is looked for once more. Safe to run at any time and again: it looks at the device as it is now, so it is also run for an event
 * that was taken before, whose worker may have died here.
 *
 * @throws SchedulerError STORE_UNAVAILABLE; whatever aborted the signal
 */
export async function moveReservations(parts: EventParts, deviceId: string, signal: AbortSignal): Promise<MovedReservations> {
  const ids = await strandedReservations(parts.store, deviceId);
  let moved = 0;
  for (const reservationId of ids) {
    signal.throwIfAborted();
    if (await moveOne(parts, deviceId, reservationId)) moved += 1;
  }
  // It may be back meanwhile, and has time now for who waits.
  if (moved > 0) await tellFreed(parts, { devices: [deviceId] });
  return { moved, left: ids.length - moved };
}

/** @returns whether it is on another device now */
async function moveOne({ store, rules, logger }: EventParts, deviceId: string, reservationId: string): Promise<boolean> {
  try {
    // Nothing is asked to be changed: what does not fit any more is its device.
    const outcome = await changeReservation(store, reservationId, { kind: 'all' }, {}, rules);
    if (outcome?.status === 'refused')
      logger.warn({ reservationId, code: outcome.code }, 'a reservation stays on a device that is out of service');
    return outcome?.status === 'reserved' && outcome.reservation.deviceId !== deviceId;
  } catch (error) {
    if (error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE') throw error;
    logger.error({ err: error, reservationId }, 'a reservation could not be moved; the others go on, it is tried again when it begins');
    return false;
  }
}
