import { randomUUID } from 'node:crypto';
import type { JobCounter } from '../../queues/count-jobs.ts';
import { type BrokerState, createPublisher, type PublisherOptions } from '../../shared/broker/publisher.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import { watchPause } from '../../shared/store/pause-watch.ts';
import type { Store } from '../../shared/store/store.ts';
import { type ClusterGauges, gauge } from './gauge.ts';
import { type DeliveryQueue, LOST_AFTER_MS } from './hand-out.ts';
import { standForLeadership } from './leadership.ts';
import { startOutboxLoops } from './outbox-loops.ts';
import { onOutboxSignal } from './outbox-signal.ts';
import { startRoundLoop } from './round-loop.ts';
import { type ScheduleParts, scheduleLooks } from './scheduled-looks.ts';
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
  /** Where it keeps its schedule and takes its ticks; left out: it looks by itself only, and no run is listed. */
  readonly schedule?: ScheduleParts;
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

/**
 * Starts the relay: outbox to RabbitMQ and to the delivery jobs. Any number may run; one leads, the others wait.
 * While the job `outbox-relay` is paused nothing leaves, whatever rings: rows wait in Postgres.
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
  const { schedule } = dependencies;
  const looks =
    schedule &&
    (await scheduleLooks({ ...dependencies, ...schedule, leads: () => leadership.leads(), look: (force) => loops.look(force) }));
  const publisher = await createPublisher({ ...dependencies.broker, name: `relay ${id}`, logger, metrics, onReady: wakes.events.ring });
  const stopListening = onOutboxSignal(dependencies.subscriber, dependencies.prefix, logger, wakeAll);
  const pause = await watchPause(store, 'outbox-relay', logger);
  const leadership = standForLeadership({
    store,
    logger,
    lease: 'relay',
    holder: id,
    termMs: dependencies.leaseTermMs ?? 6 * SECOND,
    onElected: () => {
      wakeAll();
      wakes.count.ring();
      looks?.lead();
    },
    onLost: () => looks?.follow(),
  });
  const loops = startOutboxLoops({
    store,
    publisher,
    deliveries: dependencies.deliveries,
    wakes,
    logger,
    netMs,
    lostAfterMs,
    mayRun: leadership.leads,
    paused: pause.paused,
  });
  const counting = startRoundLoop({
    logger,
    name: 'count',
    wake: wakes.count,
    netMs: COUNT_EVERY_MS,
    gatherMs: SECOND,
    mayRun: () => true,
    round: async () => {
      await gauge(store, dependencies.jobs, metrics, leadership.leads());
      return false;
    },
  });
  return {
    id,
    leads: leadership.leads,
    brokerState: () => publisher.state(),
    close: async () => {
      stopListening();
      await looks?.close();
      await Promise.all([loops.close(), counting.close()]);
      await pause.close();
      await leadership.close();
      await publisher.close();
    },
  };
}
