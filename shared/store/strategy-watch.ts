import type { Logger } from '../logger.ts';
import type { Strategy } from '../placement/strategy.ts';
import { keepReading } from './keep-reading.ts';
import type { Store } from './store.ts';
import { readActiveStrategy, strategyOf } from './strategies.ts';

/** The strategy in force, as this process last read it. */
export interface StrategyWatch {
  current(): Strategy;
  close(): Promise<void>;
}

/**
 * Keeps reading the strategy in force; while Postgres is away the last one read stays.
 *
 * @param fallback  until it was read for the first time
 */
export async function watchStrategy(store: Store, fallback: Strategy, logger: Logger): Promise<StrategyWatch> {
  let strategy = fallback;
  const { close } = await keepReading(
    async () => {
      strategy = strategyOf(await readActiveStrategy(store));
    },
    (error) => logger.warn({ err: error }, 'the strategy could not be read; the last one stays in force'),
  );
  return { current: () => strategy, close };
}
