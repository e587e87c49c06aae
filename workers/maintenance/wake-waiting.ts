import type { Producer } from '../../queues/producer.ts';
import type { Store } from '../../shared/store/store.ts';
import { wakeWaiting } from '../../shared/store/undecided.ts';

/** Waiting requests tried again by one look. */
const LOOK = 500;

/**
 * The net under the waiting requests: tries those again that were not tried for the longest time, whether or not somebody
 * said that a device became free. @returns how many were tried
 */
export async function tryWaiting(store: Store, producer: Producer): Promise<{ woken: number }> {
  const woken = await wakeWaiting(store, 'longest-untried', LOOK);
  await producer.allocateAgain(woken);
  return { woken: woken.length };
}
