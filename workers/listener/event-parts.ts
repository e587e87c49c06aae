import type { CapacityChange, CapacitySignal } from '../../queues/capacity-signal.ts';
import type { EventPayload } from '../../queues/jobs/event.ts';
import type { Producer } from '../../queues/producer.ts';
import type { ActionOf, ConsumedActionName } from '../../shared/consumed/action.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import type { Logger } from '../../shared/logger.ts';
import { announce } from '../../shared/run/announce.ts';
import type { RedisClient } from '../../shared/run/redis.ts';
import type { Ending } from '../../shared/store/end-allocations.ts';
import { takeEvent } from '../../shared/store/event-effects.ts';
import type { BookingRules } from '../../shared/store/reserve.ts';
import type { Store, Transaction } from '../../shared/store/store.ts';

/** What the handlers of events work with. */
export interface EventParts {
  readonly store: Store;
  /** Fails fast. */
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly producer: Producer;
  readonly capacity: CapacitySignal;
  /** Drop what is cached of a user. Reject with QUEUE_UNAVAILABLE if Redis is away. */
  readonly forgetQuota: (userId: string) => Promise<void>;
  readonly forgetBalance: (userId: string) => Promise<void>;
  readonly ending: Ending;
  /** Whether who loses a device that failed gets another one if one is free. */
  readonly relocate: boolean;
  /** By which reservations are moved from a device that is out of service. */
  readonly rules: BookingRules;
  /** Failed payments that count as arrears. */
  readonly paymentFailureThreshold: number;
  readonly logger: Logger;
}

/** An event and what it asks for. */
export interface Consumed<A extends ConsumedActionName> {
  readonly event: Omit<EventPayload, 'action'>;
  readonly action: ActionOf<A>;
}

/** What an event changed. `freed`: what may let somebody who waits have a device. `detail` is for the log and the dashboard. */
export interface Effect {
  readonly freed: CapacityChange | undefined;
  readonly detail?: Readonly<Record<string, unknown>>;
}

export type EventResult = { readonly status: 'done' | 'duplicate' } & Readonly<Record<string, unknown>>;

/**
 * Does what an event asks for, once: the event id is written with its effect. Then the others are told what has become free.
 *
 * @throws STORE_UNAVAILABLE
 */
export async function once(
  parts: EventParts,
  { eventId, topic }: Consumed<ConsumedActionName>['event'],
  work: (tx: Transaction) => Promise<Effect>,
): Promise<EventResult> {
  const effect = await parts.store.transaction(async (tx) => {
    if (!(await takeEvent(tx, eventId, topic))) return undefined;
    faultPoint('consume.3');
    const done = await work(tx);
    faultPoint('consume.4');
    return done;
  });
  if (effect === undefined) return { status: 'duplicate' };
  faultPoint('consume.5');
  await tellFreed(parts, effect.freed ?? {});
  faultPoint('consume.6');
  return { ...effect.detail, status: 'done' };
}

/** Tells the others, after the commit: the lists of available devices, the relay, and who waits for what has become free. */
export async function tellFreed({ redis, prefix, capacity, logger }: EventParts, freed: CapacityChange): Promise<void> {
  await announce(redis, prefix, { availability: true, outbox: true, outcomes: [] }, logger);
  await capacity.changed(freed);
}
