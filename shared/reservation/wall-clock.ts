/** A time of the clock on the wall, without a zone. Months count from 1. */
export interface WallTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  /** Time of the day, ms since midnight as the clock shows it. */
  readonly ms: number;
}

const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

/** Whether a text is an IANA time zone this platform knows. */
export function isTimeZone(name: string): boolean {
  try {
    formatOf(name);
    return true;
  } catch {
    // RangeError: that is the answer.
    return false;
  }
}

/** What the clock on the wall shows at an instant. */
export function wallTimeAt(instant: Date, timeZone: string): WallTime {
  const shown = new Date(instant.getTime() + offsetAt(instant.getTime(), timeZone));
  return {
    year: shown.getUTCFullYear(),
    month: shown.getUTCMonth() + 1,
    day: shown.getUTCDate(),
    ms: shown.getTime() - Math.floor(shown.getTime() / DAY_MS) * DAY_MS,
  };
}

/**
 * The instant at which the clock on the wall shows this time; days may run over the end of a month.
 *
 * A time the clock shows twice (autumn) is the first of the two; one it skips (spring) is as much later as was skipped, so
 * 02:30 becomes 03:30: what RFC 5545 and Temporal's `compatible` say.
 */
export function instantOf({ year, month, day, ms }: WallTime, timeZone: string): Date {
  const shown = Date.UTC(year, month - 1, day) + ms;
  const before = offsetAt(shown - DAY_MS, timeZone);
  const after = offsetAt(shown + DAY_MS, timeZone);
  for (const offset of [before, after].toSorted((a, b) => b - a)) {
    if (offsetAt(shown - offset, timeZone) === offset) return new Date(shown - offset);
  }
  return new Date(shown - before);
}

/** How far the clock is ahead of UTC at an instant, ms. */
function offsetAt(instant: number, timeZone: string): number {
  const second = Math.floor(instant / 1_000) * 1_000;
  const parts = Object.fromEntries(
    formatOf(timeZone)
      .formatToParts(second)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second: seconds = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, seconds) - second;
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const numeric = 'numeric' as const;
  const fields = { year: numeric, month: numeric, day: numeric, hour: numeric, minute: numeric, second: numeric };
  const made = new Intl.DateTimeFormat('en-u-ca-iso8601', { timeZone, hourCycle: 'h23', ...fields });
  formats.set(timeZone, made);
  return made;
}
