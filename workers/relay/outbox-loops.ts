import type { BrokerState, Publisher } from '../../shared/broker/publisher.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Store } from '../../shared/store/store.ts';
import { type DeliveryQueue, handOut, handOutNotices } from './hand-out.ts';
import { publishEvents } from './publish-events.ts';
import { startRoundLoop } from './round-loop.ts';
import { createTally, type Left } from './tally.ts';
import { createTellWaiting } from './tell-waiting.ts';
import type { Wake } from './wake.ts';

/** Commits of this long share a round: nobody waits for an event or a bill, but the database has grants to make. */
const GATHER_MS = 100;

/** People read slower than that: what happens within this long is handed out together. */
const GATHER_NOTICES_MS = 500;

/** What empties the outbox. Times in ms. */
export interface OutboxLoopParts {
  readonly store: Store;
  readonly publisher: Publisher;
  readonly deliveries: DeliveryQueue;
  readonly wakes: Readonly<Record<'events' | 'deliveries' | 'notices', Wake>>;
  readonly logger: Logger;
  readonly netMs: number;
  readonly lostAfterMs: number;
  readonly mayRun: () => boolean;
  readonly paused: () => boolean;
}

/** The loops that empty the outbox. */
export interface OutboxLoops {
  /**
   * Looks at the whole outbox once.
   *
   * @param force  also while it is paused, and on until it is empty
   * @returns what has left since it was looked at like this before, whatever woke the loops meanwhile
   * @throws what a round failed with
   */
  look(force: boolean): Promise<Left>;
  /** Finishes the rounds in hand. */
  close(): Promise<void>;
}

/** Events, deliveries and notices go in loops of their own, so that a broker that hangs never holds up a bill. */
export function startOutboxLoops({ store, publisher, deliveries, wakes, lostAfterMs, ...common }: OutboxLoopParts): OutboxLoops {
  const tally = createTally();
  const tellWaiting = createTellWaiting(store);
  const publish = () => publishEvents(store, publisher, wakes.events.ring, (count) => tally.add('events', count));
  const loops = [
    startRoundLoop({
      ...common,
      name: 'events',
      gatherMs: GATHER_MS,
      wake: wakes.events,
      round: () => (isAway(publisher.state()) ? tellWaiting() : publish()),
    }),
    startRoundLoop({
      ...common,
      name: 'deliveries',
      gatherMs: GATHER_MS,
      wake: wakes.deliveries,
      round: () => handOut(store, deliveries, lostAfterMs, tally),
    }),
    startRoundLoop({
      ...common,
      name: 'notices',
      gatherMs: GATHER_NOTICES_MS,
      wake: wakes.notices,
      round: () => handOutNotices(store, deliveries, lostAfterMs, tally),
    }),
  ];
  return {
    look: async (force) => {
      await Promise.all(loops.map((loop) => loop.look(force)));
      return tally.take();
    },
    close: async () => void (await Promise.all(loops.map((loop) => loop.close()))),
  };
}

/** Whether events have to wait. */
function isAway(state: BrokerState): boolean {
  return state !== 'ready' && state !== 'off';
}
