import { SchedulerError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';

/** One thing on the page that is read again and again. */
export interface LivePart {
  readonly name: string;
  /** Time between two readings, ms. */
  readonly everyMs: number;
  /** @throws when it cannot be read now; whoever watches is told so */
  read(): Promise<unknown>;
}

/** Readings, and who watches them. */
export interface LiveHub {
  /**
   * Tells every change from now on, what is known already at once. The texts are messages of `text/event-stream`.
   *
   * @returns how to stop
   */
  watch(send: (message: string) => void): () => void;
  /** Reads no more; resolves when the last reading has ended. */
  close(): Promise<void>;
}

/**
 * A reading that took long is repeated this many times later than it took: whatever the fleet, one watched dashboard takes no more than
 * a tenth of a connection for each of its parts.
 */
const REST = 10;
/** What is older is not shown to a newcomer as if it were now, ms. */
const STALE_MS = 30_000;

/** One reader for all who watch, and none while nobody does. */
export function createLiveHub(parts: readonly LivePart[], logger: Logger, now: () => number = Date.now): LiveHub {
  const watchers = new Set<(message: string) => void>();
  const latest = new Map<string, { readonly message: string; readonly at: number }>();
  const running = new Map<string, Promise<void>>();
  const pauses = new Set<() => void>();
  let closed = false;

  const isWatched = () => !closed && watchers.size > 0;

  function tell(part: LivePart, message: string): void {
    const known = latest.get(part.name);
    latest.set(part.name, { message, at: now() });
    if (known?.message !== message) for (const send of watchers) send(message);
  }

  async function follow(part: LivePart): Promise<void> {
    while (isWatched()) {
      const began = performance.now();
      try {
        tell(part, messageFor(part.name, await part.read()));
      } catch (error) {
        logger.warn({ part: part.name, err: error }, 'a part of the operations page could not be read; tried again');
        tell(part, messageFor('problem', { part: part.name, message: problemOf(error) }));
      }
      if (isWatched()) await rest(Math.max(part.everyMs, REST * (performance.now() - began)));
    }
  }

  function rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        pauses.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      pauses.add(end);
    });
  }

  function start(): void {
    for (const part of parts) {
      if (running.has(part.name)) continue;
      running.set(
        part.name,
        follow(part).finally(() => running.delete(part.name)),
      );
    }
  }

  return {
    watch: (send) => {
      for (const [name, { message, at }] of latest) {
        if (now() - at < STALE_MS) send(message);
        // Forgotten, or it would be taken for told when it is read again and has not changed.
        else latest.delete(name);
      }
      watchers.add(send);
      // Whoever rests may have been about to stop for want of watchers; woken up it reads for the newcomer at once.
      for (const wake of [...pauses]) wake();
      start();
      return () => {
        watchers.delete(send);
        if (watchers.size === 0) for (const wake of [...pauses]) wake();
      };
    },
    close: async () => {
      closed = true;
      for (const wake of [...pauses]) wake();
      await Promise.all(running.values());
    },
  };
}

/** What may be said of it to a viewer: others than our own errors tell of statements and addresses. */
function problemOf(error: unknown): string {
  return error instanceof SchedulerError ? error.message : 'It cannot be read now.';
}

/** A message of `text/event-stream`. */
export function messageFor(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
