import { messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { returnLease, takeLease } from '../../shared/store/lease.ts';
import type { Store } from '../../shared/store/store.ts';

/** Times in ms. */
export interface LeadershipOptions {
  readonly store: Store;
  readonly logger: Logger;
  readonly lease: string;
  readonly holder: string;
  /** How long a leader that died is waited for. */
  readonly termMs: number;
  readonly onElected: () => void;
  readonly onLost: () => void;
}

/** Of several processes asking for the same lease, one leads. */
export interface Leadership {
  leads(): boolean;
  /** Stops asking and gives the lease back. */
  close(): Promise<void>;
}

/**
 * Asks for the lease three times a term. The leader believes in it only until the term counted from *before* it asked is
 * over, by the monotonic clock, so that it stops no later than Postgres lets another begin.
 */
export function standForLeadership(options: LeadershipOptions): Leadership {
  const { store, logger, lease, holder, termMs } = options;
  let heldUntil = 0;
  let told = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const leads = () => performance.now() < heldUntil;

  const ask = async (): Promise<void> => {
    const askedAt = performance.now();
    try {
      heldUntil = (await takeLease(store, lease, holder, termMs)) ? askedAt + termMs : 0;
    } catch (error) {
      logger.warn({ lease, err: error }, `the lease could not be renewed: ${messageOf(error)}`);
    }
    tell();
    if (!closed) timer = setTimeout(next, termMs / 3);
  };

  function tell(): void {
    if (leads() === told || closed) return;
    told = leads();
    if (told) options.onElected();
    else options.onLost();
    logger.info({ lease, holder }, told ? 'this process leads now' : 'this process leads no longer');
  }

  let asking = ask();
  const next = () => {
    asking = ask();
  };

  return {
    leads: () => !closed && leads(),
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await asking;
      clearTimeout(timer);
      await returnLease(store, lease, holder);
    },
  };
}
