/** A row that could not be delivered, and why. */
export interface FailedDelivery {
  readonly id: string;
  readonly reason: string;
  /** What the receiver wants us to wait at least, ms. */
  readonly retryAfterMs?: number | undefined;
}

/** Pause before the next attempt: doubles from the base with every attempt, half of it random. ms. */
export interface Pause {
  readonly baseMs: number;
  readonly maxMs: number;
}

/** The failures as a JSON recordset: id, reason (shortened), wait (ms), and what else they carry. */
export function failuresJson(failures: readonly FailedDelivery[]): string {
  return JSON.stringify(
    failures.map(({ retryAfterMs = 0, reason, ...rest }) => ({ ...rest, reason: reason.slice(0, 1_000), wait: retryAfterMs })),
  );
}
