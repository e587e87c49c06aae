import type { Logger } from '../logger.ts';
import { createLife, type Life } from './life.ts';

export type { Life } from './life.ts';

export interface ProcessOptions {
  /** Longest orderly shutdown, ms; after it the process exits with 1. */
  readonly shutdownTimeoutMs: number;
  readonly logger: Logger;
  /** Where spans of this process go; empty or left out: they are not recorded, and what would record them is not even loaded. */
  readonly tracesTo?: string;
  /** Whose signals are heard and what is exited; the process itself unless a test stands in. */
  readonly host?: Host;
}

/** What is needed of `process`. */
export interface Host {
  on(event: string, listener: (...details: unknown[]) => void): unknown;
  exit(code: number): void;
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
export async function runProcess(name: string, start: (life: Life) => Promise<void>, options: ProcessOptions): Promise<void> {
  const { shutdownTimeoutMs, logger, host = process } = options;
  const life = createLife(logger);
  let stopping = false;

  const exit = (why: string, code: 0 | 1) => {
    logger.info({ why, code }, 'exit');
    logger.flush();
    host.exit(code);
  };

  const stop = async (why: string, code: 0 | 1) => {
    if (stopping) return exit(`${why} while stopping`, 1);
    stopping = true;
    logger.info({ why }, `${name} stops`);
    const late = setTimeout(() => exit(`shutdown took longer than ${shutdownTimeoutMs} ms`, 1), shutdownTimeoutMs);
    late.unref();
    try {
      await life.close();
      exit(why, code);
    } catch {
      exit('not everything could be closed', 1);
    } finally {
      clearTimeout(late);
    }
  };

  for (const signal of SIGNALS) host.on(signal, () => void stop(signal, 0));
  host.on('uncaughtException', (error, origin) => {
    logger.fatal({ err: error, origin }, 'an error nobody handled');
    void stop(String(origin), 1);
  });

  try {
    await traceTo(options.tracesTo ?? '', name, life, logger);
    await start(life);
    logger.info(`${name} is up`);
  } catch (error) {
    logger.fatal({ err: error }, `${name} could not start`);
    await stop('start failed', 1);
  }
}

/** Opened first, so that it is closed last: what is closed before still has spans to send. */
async function traceTo(endpoint: string, name: string, life: Life, logger: Logger): Promise<void> {
  if (endpoint === '') return;
  const { openTracing } = await import('./tracing.ts');
  life.onClose('tracing', openTracing({ name, endpoint, logger }).close);
}
