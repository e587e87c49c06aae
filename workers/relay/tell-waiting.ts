import { type EventCursor, tellOfWaitingEvents } from '../../shared/store/outbox.ts';
import type { Store } from '../../shared/store/store.ts';

/** Events looked at in one round. */
const BATCH = 1_000;

/**
 * Rounds for the time RabbitMQ is away: people are told of events that cannot be published yet. It remembers how far it
 * has come, for its own sake only: a look at what was told of before tells nothing twice.
 *
 * @returns a round that answers whether there may be more to do at once. @throws STORE_UNAVAILABLE
 */
export function createTellWaiting(store: Store): () => Promise<boolean> {
  let cursor: EventCursor | undefined;
  return async () => {
    const looked = await tellOfWaitingEvents(store, cursor, BATCH);
    cursor = looked.cursor;
    return looked.more;
  };
}
