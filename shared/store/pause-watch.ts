import type { Logger } from '../logger.ts';
import { keepReading } from './keep-reading.ts';
import { isPaused } from './scheduled-runs.ts';
import type { Store } from './store.ts';

/** Whether a scheduled job is paused, as this process last read it. */
export interface PauseWatch {
  paused(): boolean;
  close(): Promise<void>;
}

/** Keeps reading whether a job is paused, for who works between its ticks as well; while Postgres is away what was read last holds. */
export async function watchPause(store: Store, job: string, logger: Logger): Promise<PauseWatch> {
  let paused = false;
  const { close } = await keepReading(
    async () => {
      paused = await isPaused(store, job);
    },
    (error) => logger.warn({ job, err: error }, 'whether the job is paused could not be read; what was read last holds'),
  );
  return { paused: () => paused, close };
}
