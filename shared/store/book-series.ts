import type { Refusal } from '../allocation/decide-eligibility.ts';
import { pastStart } from '../reservation/decide-reserve.ts';
import { occurrencesBefore } from '../reservation/occurrences.ts';
import type { ReservationRecord } from './reservation-rows.ts';
import { dropSeries, insertSeries, noteExpanded, readOutlook, reserveOccurrence, type Series, writeMissed } from './reservation-series.ts';
import type { BookingRules } from './reserve.ts';
import type { Store } from './store.ts';

/** An occurrence that could not be had, and why. */
export interface MissedOccurrence extends Refusal {
  readonly startsAt: Date;
}

/** What became of the occurrences of a series up to the horizon. */
export interface Expansion {
  readonly booked: readonly ReservationRecord[];
  readonly missed: readonly MissedOccurrence[];
  /** When the first occurrence beyond the horizon starts; null: there is none. */
  readonly nextStartsAt: Date | null;
}

/** The closed set of answers to a new series. */
export type SeriesOutcome =
  | ({ readonly status: 'reserved'; readonly seriesId: string } & Expansion)
  | ({ readonly status: 'refused' } & Refusal);

export interface SeriesRules extends BookingRules {
  /** How far ahead occurrences are made, days. */
  readonly horizonDays: number;
}

/**
 * Books a series up to the horizon. Those occurrences that cannot be had are named and kept as failed reservations; the rest
 * is booked. If none can be had it is refused for the reason of the first, and nothing is kept; so is one that begins in the
 * past. A repeat with the same id goes on where it was left.
 *
 * @throws SchedulerError STORE_UNAVAILABLE, OVERLOADED
 */
export async function bookSeries(store: Store, series: Series, traceId: string | null, rules: SeriesRules): Promise<SeriesOutcome> {
  const { firstStartsAt } = series;
  const { now, horizon, known } = await readOutlook(store, series.seriesId, rules.horizonDays);
  const past = known ? undefined : pastStart(firstStartsAt, now);
  if (past !== undefined) return { status: 'refused', ...past };
  // The first one is always looked at, however far ahead.
  const until = firstStartsAt >= horizon ? new Date(firstStartsAt.getTime() + 1) : horizon;
  await insertSeries(store, series);
  const { booked, refused, next } = await bookEach(store, series, until, traceId, rules);
  const [first] = refused;
  if (booked.length === 0 && first !== undefined) {
    await dropSeries(store, series.seriesId);
    const { startsAt: _startsAt, occurrence: _occurrence, ...refusal } = first;
    return { status: 'refused', ...refusal };
  }
  for (const miss of refused) await writeMissed(store, series, miss.occurrence, miss, traceId);
  await noteExpanded(store, series.seriesId, next);
  const missed = refused.map(({ occurrence: _occurrence, ...miss }) => miss);
  return { status: 'reserved', seriesId: series.seriesId, booked, missed, nextStartsAt: next?.startsAt ?? null };
}

/** Books the occurrences of a series that have come within the horizon. @returns how many were booked and missed */
export async function extendSeries(
  store: Store,
  series: Series,
  horizon: Date,
  rules: BookingRules,
): Promise<{ booked: number; missed: number }> {
  const { booked, refused, next } = await bookEach(store, series, horizon, null, rules);
  for (const miss of refused) await writeMissed(store, series, miss.occurrence, miss, null);
  await noteExpanded(store, series.seriesId, next);
  return { booked: booked.length, missed: refused.length };
}

async function bookEach(store: Store, series: Series, horizon: Date, traceId: string | null, rules: BookingRules) {
  const { occurrences, next } = occurrencesBefore(horizon, series.firstStartsAt, series.recurrence, series.nextIndex);
  const booked: ReservationRecord[] = [];
  const refused = [];
  for (const occurrence of occurrences) {
    const outcome = await reserveOccurrence(store, series, occurrence, traceId, rules);
    if (outcome.status === 'reserved') {
      // One that was missed at the last attempt is not booked because it has a row.
      if (outcome.reservation.failureCode === null) booked.push(outcome.reservation);
    } else if (outcome.code === 'STATE_CONFLICT') {
      // Cancelled meanwhile: nothing more is made, and nobody misses anything.
      return { booked, refused: [], next: undefined };
    } else
      refused.push({
        code: outcome.code,
        reason: outcome.reason,
        ...(outcome.details && { details: outcome.details }),
        startsAt: occurrence.startsAt,
        occurrence,
      });
  }
  return { booked, refused, next };
}
