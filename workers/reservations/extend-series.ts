import { messageOf, SchedulerError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { extendSeries, type SeriesRules } from '../../shared/store/book-series.ts';
import { noteSeriesFault, readSeries, seriesDue } from '../../shared/store/reservation-series.ts';
import type { Store } from '../../shared/store/store.ts';

/** Series carried on by one look; the rest waits for the next. */
const BATCH = 500;

/**
 * Books the occurrences of recurring reservations that have come within the horizon. Those that cannot be had become failed
 * reservations, and their user is told. A series that cannot be carried on is noted in its row; the others go on.
 */
export async function extendAllSeries(
  { store, rules, logger }: { readonly store: Store; readonly rules: SeriesRules; readonly logger: Logger },
  signal: AbortSignal,
): Promise<{ booked: number; missed: number }> {
  const { ids, horizon } = await seriesDue(store, rules.horizonDays, BATCH);
  let [booked, missed] = [0, 0];
  for (const seriesId of ids) {
    signal.throwIfAborted();
    try {
      const series = await readSeries(store, seriesId);
      if (series === undefined) continue;
      const extended = await extendSeries(store, series, horizon, rules);
      booked += extended.booked;
      missed += extended.missed;
    } catch (error) {
      if (error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE') throw error;
      logger.error({ err: error, seriesId }, 'a series of reservations could not be carried on; the others go on, it is tried again');
      await noteSeriesFault(store, seriesId, messageOf(error));
    }
  }
  return { booked, missed };
}
