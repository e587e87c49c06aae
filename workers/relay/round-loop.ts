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
  /** Asked as well, unless somebody forces the round. Left out: never. */
  readonly paused?: () => boolean;
  /** @returns whether there may be more to do at once */
  readonly round: () => Promise<boolean>;
}

/** A loop that can be asked to look at once, and stopped: `close` resolves when the running round is over. */
export interface RoundLoop {
  /**
   * Resolves when a round that began after the call is over; rejects with what it failed with.
   *
   * @param force  also while it is paused, and on until there is no more to do
   */
  look(force: boolean): Promise<void>;
  close(): Promise<void>;
}

/** Somebody who waits for a round. */
interface Looker extends PromiseWithResolvers<void> {
  readonly force: boolean;
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
  let lookers: Looker[] = [];

  /** One round, on behalf of whoever asked before it began. */
  const round = async (): Promise<boolean> => {
    const asked = lookers;
    lookers = [];
    const { more, error } = await attempt(asked.some(({ force }) => force));
    for (const looker of asked) {
      if (error !== undefined) looker.reject(error);
      else if (more && looker.force) lookers.push(looker);
      else looker.resolve();
    }
    return more;
  };

  const loop = async (): Promise<void> => {
    while (!closed) {
      const startedAt = performance.now();
      if (await round()) continue;
      const took = performance.now() - startedAt;
      await options.wake.wait(Math.max(options.netMs, took));
      const rest = Math.max(options.gatherMs, 2 * took) - (performance.now() - startedAt);
      if (rest > 0 && !closed) await pause(rest);
    }
    for (const looker of lookers) looker.reject(new Error(`the relay closed before its round of ${options.name}`));
  };
  const ended = loop();
  return {
    look: (force) => {
      const looker = { ...Promise.withResolvers<void>(), force };
      lookers.push(looker);
      options.wake.ring();
      return looker.promise;
    },
    close: async () => {
      closed = true;
      options.wake.ring();
      await ended;
    },
  };
}

/** A round that reports whether there is more; what goes wrong is told once, when it begins, and once when it is over. */
function createAttempt({
  name,
  logger,
  mayRun,
  paused = () => false,
  round,
}: RoundLoopOptions): (force: boolean) => Promise<{ readonly more: boolean; readonly error?: unknown }> {
  let failing = false;
  return async (force) => {
    if (!mayRun() || (!force && paused())) return { more: false };
    try {
      const more = await round();
      if (failing) logger.info({ round: name }, 'the relay goes on');
      failing = false;
      return { more };
    } catch (error) {
      logger[failing ? 'debug' : 'warn']({ round: name, err: error }, 'a round of the relay failed, it is tried again');
      failing = true;
      return { more: false, error };
    }
  };
}
