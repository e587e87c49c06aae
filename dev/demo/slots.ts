/** So many may be inside at once; the others wait outside, in order. */
export interface Slots {
  /** Runs the call as soon as there is a slot. */
  use<T>(call: () => Promise<T>): Promise<T>;
}

export function createSlots(most: number): Slots {
  const outside: (() => void)[] = [];
  let free = most;
  return {
    use: async (call) => {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => outside.push(resolve));
      try {
        return await call();
      } finally {
        const next = outside.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
  };
}
