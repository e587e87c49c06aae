import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';

/** What has been opened and in which order it has to be closed. */
export interface Life {
  /** Adds something to close. Closed in reverse order: what was opened last goes first. */
  onClose(name: string, close: () => Promise<void> | void): void;
  /** Aborted when closing begins: stop taking work. */
  readonly closing: AbortSignal;
}

/** A life and the one way to end it. */
export interface OwnedLife extends Life {
  /** Closes everything once, each in turn even if one fails. Rejects with the first error. Calling again gives the same promise. */
  close(): Promise<void>;
}

export function createLife(logger: Logger): OwnedLife {
  const closers: { name: string; close: () => Promise<void> | void }[] = [];
  const closing = new AbortController();
  let ended: Promise<void> | undefined;

  async function closeAll(): Promise<void> {
    closing.abort();
    const errors: unknown[] = [];
    for (const { name, close } of closers.toReversed()) {
      try {
        await close();
        logger.debug({ part: name }, 'closed');
      } catch (error) {
        logger.error({ part: name, err: error }, `could not be closed: ${messageOf(error)}`);
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  return {
    closing: closing.signal,
    onClose: (name, close) => void closers.push({ name, close }),
    close: () => {
      ended ??= closeAll();
      return ended;
    },
  };
}
