import type { OutgoingMessage, Publisher, PublishOutcome } from '../../shared/broker/publisher.ts';
import { traceHeadersOf } from '../../shared/broker/traceparent.ts';
import { exchangeOf, publishedBody } from '../../shared/events.ts';
import { faultPoint } from '../../shared/fault-point.ts';
import { type PendingEvent, readDueEvents, recordFailures, setAsideEvents, settleEvents } from '../../shared/store/outbox.ts';
import type { Store } from '../../shared/store/store.ts';

/** Events published in one round; one a key, and one round of confirms. */
const BATCH = 1_000;

/** Fewer than this are a trickle: the next round can wait for company. */
const FEW = 100;

/** Pause of an event RabbitMQ refused, or kept the confirm of back, ms. */
const PUT_OFF_PAUSE = { baseMs: 1_000, maxMs: 60_000 };

/**
 * One round: reads the events that are due, publishes them, notes which have left.
 *
 * Between publishing and noting, the process may die: the events are then published again with the same ids and bodies.
 * When RabbitMQ is away nothing is noted against the rows; they wait. What it refuses or does not confirm is put off singly, so
 * that one event whose queue is in trouble does not hold up the others again and again.
 *
 * @param lookAgain  asks for another round soon, together with what is written until then
 * @param left       is told how many have left
 * @returns whether there may be more to do at once
 * @throws STORE_UNAVAILABLE
 */
export async function publishEvents(
  store: Store,
  publisher: Publisher,
  lookAgain: () => void,
  left: (count: number) => void = () => undefined,
): Promise<boolean> {
  const state = publisher.state();
  if (state === 'off') return (await setAsideEvents(store, BATCH)) === BATCH;
  if (state !== 'ready') return false;
  const events = await readDueEvents(store, BATCH);
  if (events.length === 0) return false;
  faultPoint('publish.1');
  const outcomes = await publisher.publish(events.map(toMessage));
  faultPoint('publish.2');
  await noteOutcomes(store, events, outcomes);
  faultPoint('publish.3');
  left(outcomes.filter(({ kind }) => kind === 'confirmed').length);
  if (outcomes.some(({ kind }) => kind === 'unavailable' || kind === 'unconfirmed')) return false;
  if (events.length >= FEW) return true;
  // Later events of the same keys may be there, but are not worth a look of their own.
  lookAgain();
  return false;
}

async function noteOutcomes(store: Store, events: readonly PendingEvent[], outcomes: readonly PublishOutcome[]): Promise<void> {
  const confirmed = events.filter((_, index) => outcomes[index]?.kind === 'confirmed');
  const putOff = events.flatMap(({ id }, index) => {
    const outcome = outcomes[index];
    return outcome?.kind === 'rejected' || outcome?.kind === 'unconfirmed' ? [{ id, reason: outcome.reason }] : [];
  });
  if (confirmed.length > 0) await settleEvents(store, confirmed);
  if (putOff.length > 0) await recordFailures(store, putOff, PUT_OFF_PAUSE);
}

function toMessage(event: PendingEvent): OutgoingMessage {
  return {
    messageId: event.eventId,
    exchange: exchangeOf(event.topic),
    routingKey: event.topic,
    body: publishedBody(event),
    createdAt: event.createdAt,
    headers: traceHeadersOf(event.traceId ?? undefined, event.eventId),
    after: event.traceId ?? undefined,
  };
}
