import type { Logger } from '../logger.ts';
import { isPaused } from './scheduled-runs.ts';
import type { Store } from './store.ts';

/** Whether a scheduled job is paused, as this process last read it. */
export interface PauseWatch {
  paused(): boolean;
  close(): Promise<void>;
}

/** A pause is in effect within 2 s; half of that leaves room for a slow read. */
const READ_EVERY_MS = 1_000;

/** Keeps reading whether a job is paused, for who works between its ticks as well; while Postgres is away what was read last holds. */
export async function watchPause(store: Store, job: string, logger: Logger): Promise<PauseWatch> {
  let paused = false;
  const read = async (): Promise<void> => {
    try {
      paused = await isPaused(store, job);
    } catch (error) {
      logger.warn({ job, err: error }, 'whether the job is paused could not be read; what was read last holds');
    }
  };
  await read();
  let reading: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    reading = read();
  }, READ_EVERY_MS);
  return {
    paused: () => paused,
    close: async () => {
      clearInterval(timer);
      await reading;
    },
  };
}
