import type { Logger } from '../../shared/logger.ts';
import { readSetting } from '../../shared/store/settings.ts';
import type { Store } from '../../shared/store/store.ts';

/** The strategy in force, as this process last read it. */
export interface StrategyWatch {
  current(): string;
  close(): Promise<void>;
}

/** A change is in effect everywhere within 2 s; half of that leaves room for a slow read. */
const READ_EVERY_MS = 1_000;

/** Keeps reading the stored strategy; while Postgres is away the last one read stays in force. */
export async function watchStrategy(store: Store, fallback: string, logger: Logger): Promise<StrategyWatch> {
  let strategy = fallback;
  const read = async (): Promise<void> => {
    try {
      const stored = await readSetting(store, 'allocation_strategy');
      if (typeof stored === 'string') strategy = stored;
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
