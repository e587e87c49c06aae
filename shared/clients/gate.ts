/** A bounded number of places, given out in the order of asking. */
export interface Gate {
  /**
   * Waits for a place.
   *
   * @param waitMs  longest wait, ms
   * @returns whether a place was given; whoever got one must `leave`
   */
  enter(waitMs: number): Promise<boolean>;
  leave(): void;
}

/**
 * Bounds how many calls to one neighbour are under way. It stands outside the breaker, whose own `capacity` would count
 * a full house as the neighbour's failure; and it is what lets the breaker see failures before a burst has been sent.
 */
export function createGate(places: number): Gate {
  let free = places;
  const waiting = new Set<(entered: boolean) => void>();
  return {
    enter(waitMs) {
      if (free > 0) {
        free -= 1;
        return Promise.resolve(true);
      }
      return new Promise((resolve) => {
        const settle = (entered: boolean) => {
          clearTimeout(timer);
          waiting.delete(settle);
          resolve(entered);
        };
        const timer = setTimeout(settle, waitMs, false);
        waiting.add(settle);
      });
    },
    leave() {
      const [next] = waiting;
      if (next === undefined) free += 1;
      else next(true);
    },
  };
}
