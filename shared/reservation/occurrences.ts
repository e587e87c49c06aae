import type { Recurrence } from './asked-reservation.ts';
import { instantOf, wallTimeAt } from './wall-clock.ts';

/** One occurrence of a series: its number, from 0, and when it starts. */
export interface Occurrence {
  readonly index: number;
  readonly startsAt: Date;
}

const DAYS = { daily: 1, weekly: 7 } as const;

/**
 * When an occurrence of a series starts; undefined: the series has ended before it. The clock on the wall shows the same time
 * for all of them, whatever the zone does to its clocks in between. The first one is where the series begins.
 */
export function occurrenceAt(firstStartsAt: Date, recurrence: Recurrence, index: number): Occurrence | undefined {
  const { frequency, interval, until, count, timeZone } = recurrence;
  if (count !== undefined && index >= count) return undefined;
  const first = wallTimeAt(firstStartsAt, timeZone);
  const startsAt = index === 0 ? firstStartsAt : instantOf({ ...first, day: first.day + index * interval * DAYS[frequency] }, timeZone);
  return until !== undefined && startsAt > until ? undefined : { index, startsAt };
}

/**
 * The occurrences from `fromIndex` on that start before the horizon, and the one after them (undefined: there is none).
 *
 * @param most  most occurrences returned
 */
export function occurrencesBefore(
  horizon: Date,
  firstStartsAt: Date,
  recurrence: Recurrence,
  fromIndex: number,
  most = 1_000,
): { readonly occurrences: readonly Occurrence[]; readonly next: Occurrence | undefined } {
  const occurrences: Occurrence[] = [];
  for (let index = fromIndex; ; index += 1) {
    const occurrence = occurrenceAt(firstStartsAt, recurrence, index);
    if (occurrence === undefined || occurrence.startsAt >= horizon || occurrences.length === most) return { occurrences, next: occurrence };
    occurrences.push(occurrence);
  }
}
