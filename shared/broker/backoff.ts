/** How long to pause between attempts, ms: doubling from `baseMs`, at most `maxMs`. */
export interface Backoff {
  readonly baseMs: number;
  readonly maxMs: number;
}

/** Of a broker that is gone: back within half a minute at the latest, without a herd. */
export const RECONNECT_BACKOFF: Backoff = { baseMs: 200, maxMs: 30_000 };

/**
 * The pause before an attempt. Half of it is random, so that processes cut off together do not come back together.
 *
 * @param attempt  1 for the first repetition
 * @returns ms, between half of the doubled base and all of it, never above `maxMs`
 */
export function backoffDelay(attempt: number, { baseMs, maxMs }: Backoff, random: () => number = Math.random): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(ceiling / 2 + (ceiling / 2) * random());
}
