import { messageOf } from '../shared/errors.ts';
import type { Logger } from '../shared/logger.ts';
import { noteListening } from '../shared/store/heartbeat.ts';
import type { Store } from '../shared/store/store.ts';

const EVERY_MS = 2_000;

/**
 * Notes every two seconds that heartbeats can be heard here and kept: whoever falls silent is told from an outage of ours
 * by these notes.
 *
 * @returns once the first note is made, or could not be: what ends it
 */
export async function keepListening(store: Store, logger: Logger): Promise<() => Promise<void>> {
  let noting = Promise.resolve();
  await note();
  const timer = setInterval(() => {
    noting = note();
  }, EVERY_MS);

  async function note(): Promise<void> {
    try {
      await noteListening(store);
    } catch (error) {
      logger.warn({ reason: messageOf(error) }, 'could not note that heartbeats are heard; nobody is reclaimed for silence meanwhile');
    }
  }

  return async () => {
    clearInterval(timer);
    await noting;
  };
}
