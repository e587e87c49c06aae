import { countMinute, type MinuteCounts } from '../../shared/store/minute-counts.ts';
import type { Store } from '../../shared/store/store.ts';

const MINUTE_MS = 60_000;
/** So long after its end a minute is taken as told: transactions under way then are over. */
const SETTLED_MS = 10_000;
/** Minutes kept. */
const KEPT = 60;
/** Minutes of the past that one reading looks at: what was not watched is made up for little by little, the latest first. */
const CATCH_UP = 5;

/** A minute and what happened in it. */
export interface MinuteOfSeries extends MinuteCounts {
  /** When it began, ms since 1970. */
  readonly at: number;
}

/** The last hour by minutes. A minute that is over is counted once. */
export function createMinuteSeries(store: Store, now: () => number = Date.now): () => Promise<readonly MinuteOfSeries[]> {
  const settled = new Map<number, MinuteOfSeries>();
  const count = async (at: number): Promise<MinuteOfSeries> => ({ at, ...(await countMinute(store, new Date(at))) });

  return async () => {
    const time = now();
    const current = Math.floor(time / MINUTE_MS) * MINUTE_MS;
    for (const at of settled.keys()) if (at <= current - KEPT * MINUTE_MS) settled.delete(at);
    const isSettled = (at: number) => at + MINUTE_MS + SETTLED_MS <= time;
    const wanted = Array.from({ length: KEPT }, (_, back) => current - back * MINUTE_MS);
    const missing = wanted.filter((at) => !settled.has(at));
    const read: MinuteOfSeries[] = [];
    for (const at of missing.slice(0, CATCH_UP + 2)) read.push(await count(at));
    for (const minute of read) if (isSettled(minute.at)) settled.set(minute.at, minute);
    return [...settled.values(), ...read.filter(({ at }) => !settled.has(at))].toSorted((a, b) => a.at - b.at);
  };
}
