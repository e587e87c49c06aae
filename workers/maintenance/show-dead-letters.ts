import type { Producer } from '../../queues/producer.ts';
import { listDeadLetters } from '../../shared/store/dead-letters.ts';
import type { Store } from '../../shared/store/store.ts';

/** Dead letters shown at once; the next ones follow when some of these are dealt with. */
const SHOWN = 1_000;

/**
 * Makes the failed jobs of the delivery queue say which dead letters there are: those that are new are added, those that were tried
 * again by other ways, or have gone, are taken away.
 *
 * @returns how many there are
 * @throws SchedulerError STORE_UNAVAILABLE, QUEUE_UNAVAILABLE
 */
export async function showDeadLetters({ store, producer }: { readonly store: Store; readonly producer: Producer }): Promise<number> {
  const { items, total } = await listDeadLetters(store, undefined, { kind: 'all' }, SHOWN, undefined);
  await producer.deadLetters(items.map(({ id, kind, lastError }) => ({ id, kind, reason: lastError ?? 'given up' })));
  return total;
}
