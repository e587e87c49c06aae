/** A time that is taken, from inclusive to exclusive. */
export interface Busy {
  readonly from: Date;
  readonly to: Date;
}

/** A device and when it is taken: leases and reservations with their gaps, in any order, overlapping or not. */
export interface Calendar {
  readonly deviceId: string;
  readonly busy: readonly Busy[];
}

/** A time at which a device could be had. */
export interface FreeSlot {
  readonly deviceId: string;
  readonly startsAt: Date;
  readonly endsAt: Date;
}

const MINUTE_MS = 60_000;

/**
 * The next times somebody could have one of these devices for so long, earliest first, one for each start.
 *
 * @param busyUser     when the user has reserved something already: no device helps them then
 * @param from         the slots start then or later, at full minutes after the first
 * @param gapSeconds   what is kept free after each reservation
 * @param most         most slots
 */
export function nextFreeSlots(
  calendars: readonly Calendar[],
  busyUser: readonly Busy[],
  { from, durationMinutes, gapSeconds, most }: { from: Date; durationMinutes: number; gapSeconds: number; most: number },
): FreeSlot[] {
  const lasts = durationMinutes * MINUTE_MS;
  const byStart = new Map<number, FreeSlot>();
  for (const { deviceId, busy } of calendars) {
    const taken = [
      ...busy.map((range) => span(range, lasts + gapSeconds * 1_000)),
      ...busyUser.map((range) => span(range, lasts)),
    ].toSorted((a, b) => a.from - b.from);
    for (const start of freeStarts(taken, from.getTime(), most)) {
      if (!byStart.has(start)) byStart.set(start, { deviceId, startsAt: new Date(start), endsAt: new Date(start + lasts) });
    }
  }
  return [...byStart.values()].toSorted((a, b) => a.startsAt.getTime() - b.startsAt.getTime()).slice(0, most);
}

/** The starts a busy time rules out: later than `from`, earlier than `to`. */
interface Ruled {
  readonly from: number;
  readonly to: number;
}

function span({ from, to }: Busy, lasts: number): Ruled {
  return { from: from.getTime() - lasts, to: to.getTime() };
}

/** The first free start and, after each busy time, the next one; at most so many. */
function freeStarts(ruled: readonly Ruled[], from: number, most: number): number[] {
  const starts: number[] = [];
  let start = from;
  for (const { from: after, to } of ruled) {
    if (start <= after && start !== starts.at(-1)) starts.push(start);
    if (starts.length >= most) return starts;
    if (to > start) start = Math.ceil(to / MINUTE_MS) * MINUTE_MS;
  }
  if (start !== starts.at(-1)) starts.push(start);
  return starts.slice(0, most);
}
