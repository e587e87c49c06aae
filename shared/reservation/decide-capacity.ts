import type { Refusal } from '../allocation/decide-eligibility.ts';
import { type Busy, type Calendar, nextFreeSlots } from './free-slots.ts';

/** A device's calendar with what takes it. */
interface NamedCalendar extends Calendar {
  readonly busy: readonly (Busy & { readonly by: 'reservation' | 'allocation' | 'cleaning' })[];
}

/** What is known when no device was found. */
export interface ShortCapacity {
  readonly exists: boolean;
  readonly existsWithinCaps: boolean;
  readonly calendars: readonly NamedCalendar[];
  /** What the user has reserved besides. */
  readonly ownBusy: readonly Busy[];
}

const MOST_CONFLICTS = 20;
const MOST_SLOTS = 3;

/**
 * Why nothing could be booked: no such device at all, none the quota allows, or all taken. Then with what is in the way (no
 * names of other users) and the next slots the same wish would get.
 */
export function decideCapacity(
  { exists, existsWithinCaps, calendars, ownBusy }: ShortCapacity,
  wish: { startsAt: Date; durationMinutes: number; blockedUntil: Date; gapSeconds: number },
): Refusal {
  if (!exists) return { code: 'NO_MATCHING_DEVICE', reason: 'no device of the fleet passes the hard filters' };
  if (!existsWithinCaps) return { code: 'QUOTA_EXCEEDED', reason: 'every matching device is larger than the quota allows' };
  const { startsAt, blockedUntil } = wish;
  const conflicts = calendars
    .flatMap(({ deviceId, busy }) => busy.map((taken) => ({ ...taken, deviceId })))
    .filter(({ from, to }) => from < blockedUntil && to > startsAt)
    .toSorted((a, b) => a.from.getTime() - b.from.getTime())
    .slice(0, MOST_CONFLICTS)
    .map(({ deviceId, by, from, to }) => ({ deviceId, by, from: from.toISOString(), to: to.toISOString() }));
  const freeSlots = nextFreeSlots(calendars, ownBusy, {
    from: startsAt,
    durationMinutes: wish.durationMinutes,
    gapSeconds: wish.gapSeconds,
    most: MOST_SLOTS,
  }).map((slot) => ({
    deviceId: slot.deviceId,
    reservedStartTime: slot.startsAt.toISOString(),
    reservedEndTime: slot.endsAt.toISOString(),
  }));
  return { code: 'NO_CAPACITY', reason: 'every matching device is taken at that time', details: { conflicts, freeSlots } };
}
