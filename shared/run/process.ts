import type { Logger } from '../logger.ts';
import { createLife, type Life } from './life.ts';

export type { Life } from './life.ts';

export interface ProcessOptions {
  /** Longest orderly shutdown, ms; after it the process exits with 1. */
  readonly shutdownTimeoutMs: number;
  readonly logger: Logger;
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Runs a process from start to exit.
 *
 * SIGTERM or SIGINT closes what `start` opened, in reverse order, and exits 0; a second signal exits 1 at once. A failed
 * start, an unhandled error or a shutdown past its time exits 1: whoever supervises the process starts a new one.
 *
 * @param name   for the log
 * @param start  opens things and registers how to close them; resolves when the process is up
 */
export async function runProcess(
  name: string,
  start: (life: Life) => Promise<void>,
  { shutdownTimeoutMs, logger }: ProcessOptions,
): Promise<void> {
  const life = createLife(logger);
  let stopping = false;

  const stop = async (why: string, code: 0 | 1) => {
    if (stopping) return exit(logger, `${why} while stopping`, 1);
    stopping = true;
    logger.info({ why }, `${name} stops`);
    setTimeout(() => exit(logger, `shutdown took longer than ${shutdownTimeoutMs} ms`, 1), shutdownTimeoutMs).unref();
    try {
      await life.close();
      exit(logger, why, code);
    } catch {
      exit(logger, 'not everything could be closed', 1);
    }
  };

  for (const signal of SIGNALS) process.on(signal, () => void stop(signal, 0));
  process.on('uncaughtException', (error, origin) => {
    logger.fatal({ err: error, origin }, 'an error nobody handled');
    void stop(origin, 1);
  });

  try {
    await start(life);
    logger.info(`${name} is up`);
  } catch (error) {
    logger.fatal({ err: error }, `${name} could not start`);
    await stop('start failed', 1);
  }
}

function exit(logger: Logger, why: string, code: 0 | 1): void {
  logger.info({ why, code }, 'exit');
  logger.flush();
  process.exit(code);
}
