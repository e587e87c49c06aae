const LEAST_MS = 500;
const MOST_MS = 5_000;

/**
 * How long a failed read is remembered, ms: long enough that the requests waiting for it and those right behind do not
 * each ask again, short enough that a recovered neighbour is seen at once. A `Retry-After` is kept up to 5 s.
 */
export function failureTtlMs(retryAfterMs: number | undefined): number {
  return Math.min(Math.max(retryAfterMs ?? LEAST_MS, LEAST_MS), MOST_MS);
}
