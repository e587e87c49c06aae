import type { Logger } from '../logger.ts';
import type { Strategy } from '../placement/strategy.ts';
import type { Store } from './store.ts';
import { readActiveStrategy, strategyOf } from './strategies.ts';

/** The strategy in force, as this process last read it. */
export interface StrategyWatch {
  current(): Strategy;
  close(): Promise<void>;
}

/** A change is in effect everywhere within 2 s; half of that leaves room for a slow read. */
const READ_EVERY_MS = 1_000;

/**
 * Keeps reading the strategy in force; while Postgres is away the last one read stays.
 *
 * @param fallback  until it was read for the first time
 */
export async function watchStrategy(store: Store, fallback: Strategy, logger: Logger): Promise<StrategyWatch> {
  let strategy = fallback;
  const read = async (): Promise<void> => {
    try {
      strategy = strategyOf(await readActiveStrategy(store));
    } catch (error) {
      logger.warn({ err: error }, 'the strategy could not be read; the last one stays in force');
    }
  };
  await read();
  let reading: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    reading = read();
  }, READ_EVERY_MS);
  return {
    current: () => strategy,
    close: async () => {
      clearInterval(timer);
      await reading;
    },
  };
}
