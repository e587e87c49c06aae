import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../../shared/logger.ts';
import type { Wake } from './wake.ts';

/** Times in ms. */
export interface RoundLoopOptions {
  readonly name: string;
  readonly logger: Logger;
  readonly wake: Wake;
  /** Longest time without a look. */
  readonly netMs: number;
  /** Shortest time from the beginning of a look to the next: what is woken for in between is gathered. */
  readonly gatherMs: number;
  /** Asked before each round. */
  readonly mayRun: () => boolean;
  /** @returns whether there may be more to do at once */
  readonly round: () => Promise<boolean>;
}

/** A loop that can be stopped: `close` resolves when the running round is over. */
export interface RoundLoop {
  close(): Promise<void>;
}

/**
 * Runs rounds until closed: again at once while there is more, otherwise at the next wake or when the net time is over.
 *
 * The first wake after a quiet time is answered at once; under load many commits share a round. A round that took long is
 * followed by a rest as long, so that an expensive look at a large backlog never keeps the database busy all the time.
 */
export function startRoundLoop(options: RoundLoopOptions): RoundLoop {
  const attempt = createAttempt(options);
  let closed = false;
  const loop = async (): Promise<void> => {
    while (!closed) {
      const startedAt = performance.now();
      if (await attempt()) continue;
      const took = performance.now() - startedAt;
      await options.wake.wait(Math.max(options.netMs, took));
      const rest = Math.max(options.gatherMs, 2 * took) - (performance.now() - startedAt);
      if (rest > 0 && !closed) await pause(rest);
    }
  };
  const ended = loop();
  return {
    close: async () => {
      closed = true;
      options.wake.ring();
      await ended;
    },
  };
}

/** A round that reports whether there is more; what goes wrong is told once, when it begins, and once when it is over. */
function createAttempt({ name, logger, mayRun, round }: RoundLoopOptions): () => Promise<boolean> {
  let failing = false;
  return async () => {
    if (!mayRun()) return false;
    try {
      const more = await round();
      if (failing) logger.info({ round: name }, 'the relay goes on');
      failing = false;
      return more;
    } catch (error) {
      logger[failing ? 'debug' : 'warn']({ round: name, err: error }, 'a round of the relay failed, it is tried again');
      failing = true;
      return false;
    }
  };
}
