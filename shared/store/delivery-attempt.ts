/** A row that could not be delivered, and why. */
export interface FailedDelivery {
  readonly id: string;
  readonly reason: string;
}

/** Pause before the next attempt: doubles from the base with every attempt, half of it random. ms. */
export interface Pause {
  readonly baseMs: number;
  readonly maxMs: number;
}
