/** A bell: whoever waits for it is woken, and a ring nobody waited for is kept (one is enough). */
export interface Wake {
  ring(): void;
  /** Resolves at the next ring, or after `longestMs`. */
  wait(longestMs: number): Promise<void>;
}

export function createWake(): Wake {
  let rung = false;
  let answer: (() => void) | undefined;
  return {
    ring: () => {
      rung = true;
      answer?.();
    },
    wait: async (longestMs) => {
      if (!rung) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, longestMs);
        answer = resolve;
        await promise;
        clearTimeout(timer);
        answer = undefined;
      }
      rung = false;
    },
  };
}
