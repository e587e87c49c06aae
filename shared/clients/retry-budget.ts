/** Says whether one more repeat is affordable. */
export interface RetryBudget {
  /** Counts a first attempt, which earns a fraction of a repeat. */
  earn(): void;
  /** Takes one repeat if there is one. */
  spend(): boolean;
}

/**
 * Keeps repeats to a fraction of the calls. Three repeats a call would send four times the traffic to a neighbour that
 * is failing because of traffic; a bucket of a few repeats covers the single lost connection and no more.
 *
 * @param size     repeats in the full bucket, which it starts with
 * @param perCall  repeats earned by one call
 */
export function createRetryBudget(size: number, perCall: number): RetryBudget {
  let repeats = size;
  return {
    earn() {
      repeats = Math.min(size, repeats + perCall);
    },
    spend() {
      if (repeats < 1) return false;
      repeats -= 1;
      return true;
    },
  };
}
