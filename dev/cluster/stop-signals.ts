/** A press of Ctrl-C reaches us twice under npm, which hands on what the terminal has given to everybody; so near together it is one. */
const SAME_PRESS_MS = 500;

/**
 * Calls `stop` at the first SIGTERM or SIGINT and `atOnce` at the second.
 */
export function onStopSignals(stop: () => void, atOnce: () => void): void {
  let firstAt: number | undefined;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      const now = performance.now();
      if (firstAt === undefined) {
        firstAt = now;
        stop();
      } else if (now - firstAt > SAME_PRESS_MS) atOnce();
    });
  }
}
