import { randomUUID } from 'node:crypto';
import type { JobCounter } from '../../queues/count-jobs.ts';
import { type BrokerState, createPublisher, type PublisherOptions } from '../../shared/broker/publisher.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import type { Store } from '../../shared/store/store.ts';
import { type ClusterGauges, gauge } from './gauge.ts';
import { type DeliveryQueue, handOut, handOutNotices, LOST_AFTER_MS } from './hand-out.ts';
import { standForLeadership } from './leadership.ts';
import { onOutboxSignal } from './outbox-signal.ts';
import { publishEvents } from './publish-events.ts';
import { startRoundLoop } from './round-loop.ts';
import { createTellWaiting } from './tell-waiting.ts';
import { createWake } from './wake.ts';

/** What the relay works with. Times in ms. */
export interface RelayDependencies {
  readonly store: Store;
  readonly deliveries: DeliveryQueue;
  /** A connection of its own, for the signals of commits; the caller closes it. */
  readonly subscriber: RedisClient;
  /** Prefix of the channel. */
  readonly prefix: string;
  readonly logger: Logger;
  readonly metrics: ClusterGauges & Pick<Metrics, 'outboxPublished'>;
  readonly jobs: JobCounter;
  readonly broker: Pick<PublisherOptions, 'url' | 'confirmTimeoutMs' | 'heartbeatSeconds' | 'connectTimeoutMs' | 'backoff'>;
  /** Longest time without a look at the outbox. */
  readonly netMs?: number;
  /** How long a relay that died is waited for. */
  readonly leaseTermMs?: number;
  readonly lostAfterMs?: number;
}

/** A running relay. */
export interface Relay {
  readonly id: string;
  leads(): boolean;
  brokerState(): BrokerState;
  /** Finishes the round in hand, gives the lead to another relay, then closes the broker. */
  close(): Promise<void>;
}

const SECOND = 1_000;
const COUNT_EVERY_MS = 15 * SECOND;

/** Commits of this long share a round: nobody waits for an event or a bill, but the database has grants to make. */
const GATHER_MS = 100;

/** People read slower than that: what happens within this long is handed out together. */
const GATHER_NOTICES_MS = 500;

/**
 * Starts the relay: outbox to RabbitMQ and to the delivery jobs. Any number may run; one leads, the others wait.
 * Events, deliveries and notices go in loops of their own, so that a broker that hangs never holds up a bill.
 */
export async function startRelay(dependencies: RelayDependencies): Promise<Relay> {
  const { store, logger, metrics, netMs = SECOND, lostAfterMs = LOST_AFTER_MS } = dependencies;
  const id = randomUUID();
  const wakes = { events: createWake(), deliveries: createWake(), notices: createWake(), count: createWake() };
  const wakeAll = () => {
    wakes.events.ring();
    wakes.deliveries.ring();
    wakes.notices.ring();
  };
  const publisher = await createPublisher({ ...dependencies.broker, name: `relay ${id}`, logger, metrics, onReady: wakes.events.ring });
  const stopListening = onOutboxSignal(dependencies.subscriber, dependencies.prefix, logger, wakeAll);
  const leadership = standForLeadership({
    store,
    logger,
    lease: 'relay',
    holder: id,
    termMs: dependencies.leaseTermMs ?? 6 * SECOND,
    onElected: () => {
      wakeAll();
      wakes.count.ring();
    },
  });
  const tellWaiting = createTellWaiting(store);
  const common = { logger, netMs, gatherMs: GATHER_MS, mayRun: leadership.leads };
  const loops = [
    startRoundLoop({
      ...common,
      name: 'events',
      wake: wakes.events,
      round: () => (isAway(publisher.state()) ? tellWaiting() : publishEvents(store, publisher, wakes.events.ring)),
    }),
    startRoundLoop({
      ...common,
      name: 'deliveries',
      wake: wakes.deliveries,
      round: () => handOut(store, dependencies.deliveries, lostAfterMs),
    }),
    startRoundLoop({
      ...common,
      name: 'notices',
      wake: wakes.notices,
      gatherMs: GATHER_NOTICES_MS,
      round: () => handOutNotices(store, dependencies.deliveries, lostAfterMs),
    }),
    startRoundLoop({
      ...common,
      name: 'count',
      wake: wakes.count,
      netMs: COUNT_EVERY_MS,
      mayRun: () => true,
      round: async () => {
        await gauge(store, dependencies.jobs, metrics, leadership.leads());
        return false;
      },
    }),
  ];
  return {
    id,
    leads: leadership.leads,
    brokerState: () => publisher.state(),
    close: async () => {
      stopListening();
      await Promise.all(loops.map((loop) => loop.close()));
      await leadership.close();
      await publisher.close();
    },
  };
}

/** Whether events have to wait. */
function isAway(state: BrokerState): boolean {
  return state !== 'ready' && state !== 'off';
}
