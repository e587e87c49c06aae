import { type ConfirmChannel, IllegalOperationError, type Message } from 'amqplib';
import { messageOf } from '../errors.ts';
import { DEAD_LETTER_EXCHANGE, EVENT_EXCHANGE } from '../events.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { type Span, spanRecorder } from '../spans.ts';
import { readTrace } from '../trace.ts';
import type { Backoff } from './backoff.ts';
import { type BrokerConnection, openBrokerConnection } from './connection.ts';
import { SupervisedChannel } from './supervised-channel.ts';
import type { TraceHeaders } from './traceparent.ts';

/** `off`: no address is configured. `blocked`: connected, but RabbitMQ is short of memory or disk. */
export type BrokerState = 'off' | 'connecting' | 'ready' | 'blocked' | 'closed';

/** One message to be stored by RabbitMQ. */
export interface OutgoingMessage {
  /** The id of the event; the same on a repeat. */
  readonly messageId: string;
  readonly exchange: string;
  readonly routingKey: string;
  /** Sent as JSON. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly createdAt: Date;
  readonly headers: TraceHeaders;
  /** What led to the event, as `shared/trace.ts` writes it. */
  readonly after?: string | undefined;
}

/**
 * What became of a message. `rejected`: RabbitMQ or the protocol refuses this one message. `unavailable`: nothing is known
 * against the message, RabbitMQ is away. `unconfirmed`: RabbitMQ is there and has kept its confirm back for too long, as it
 * does when a queue behind it cannot take the message; like an unavailable one it may have arrived all the same.
 */
export type PublishOutcome =
  | { readonly kind: 'confirmed' }
  | { readonly kind: 'unconfirmed'; readonly reason: string }
  | { readonly kind: 'rejected'; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** Publishes with confirms. */
export interface Publisher {
  /**
   * Publishes all in the order given and waits for the confirms in one round. Never rejects.
   * @returns one outcome a message, in the same order
   */
  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishOutcome[]>;
  state(): BrokerState;
  close(): Promise<void>;
}

/** Times in ms. An empty `url` means that events are off. */
export interface PublisherOptions {
  readonly url: string;
  readonly name: string;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'outboxPublished'>;
  /** Longest wait for the confirms of one call; after as long again nothing late is waited for, and there is a new channel. */
  readonly confirmTimeoutMs?: number;
  readonly heartbeatSeconds?: number;
  readonly connectTimeoutMs?: number;
  readonly backoff?: Backoff;
  /** Called whenever publishing became possible. */
  readonly onReady?: () => void;
}

const CONFIRM_TIMEOUT_MS = 10_000;

const CONFIRMED: PublishOutcome = { kind: 'confirmed' };

/** RabbitMQ 4 closes the channel, with all that is in flight, over a message above 16 MB; ours have a few hundred bytes. */
const MAX_BODY_BYTES = 1024 * 1024;

/** Routing keys nobody listens to are logged once each, as long as they are not made up per message. */
const MAX_UNROUTED_KEYS = 100;

const EVENTS_OFF: Publisher = {
  publish: async (messages) => messages.map(() => unavailable('events are off')),
  state: () => 'off',
  close: () => Promise.resolve(),
};

/** Opens the publisher. Returns at once: RabbitMQ may come up later. Says so once when events are off. */
export async function createPublisher(options: PublisherOptions): Promise<Publisher> {
  if (options.url === '') {
    options.logger.warn('events are off: RABBITMQ_URL is empty');
    return EVENTS_OFF;
  }
  return new ConfirmingPublisher(await openBrokerConnection(options), options);
}

/** Messages of one channel whose confirm was not waited for any longer, and since when there are any (`performance.now()`). */
interface Late {
  count: number;
  since: number;
}

class ConfirmingPublisher implements Publisher {
  readonly #connection: BrokerConnection;
  readonly #channel: SupervisedChannel<ConfirmChannel>;
  readonly #options: PublisherOptions;
  readonly #unroutedKeys = new Set<string>();
  #late: Late = { count: 0, since: 0 };
  #closed = false;

  constructor(connection: BrokerConnection, options: PublisherOptions) {
    this.#connection = connection;
    this.#options = options;
    const onReady = () => options.onReady?.();
    connection.on('unblocked', () => {
      // It has read nothing meanwhile, so it owes nothing for that time.
      this.#late.since = performance.now();
      onReady();
    });
    this.#channel = new SupervisedChannel({
      connection,
      logger: options.logger,
      open: (model) => model.createConfirmChannel(),
      prepare: (channel) => this.#prepare(channel),
      onReady,
      ...(options.backoff === undefined ? {} : { backoff: options.backoff }),
    });
  }

  state(): BrokerState {
    if (this.#closed) return 'closed';
    if (this.#channel.current === undefined) return 'connecting';
    return this.#connection.isBlocked ? 'blocked' : 'ready';
  }

  async publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishOutcome[]> {
    const channel = this.#channel.current;
    const obstacle = this.#obstacle();
    const outcomes =
      channel === undefined || obstacle !== undefined
        ? messages.map(() => unavailable(obstacle ?? 'not connected'))
        : await this.#confirmed(messages.map((message) => this.#send(channel, message)));
    for (const { kind } of outcomes) this.#options.metrics.outboxPublished.inc({ outcome: kind });
    return outcomes;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#channel.close();
    await this.#connection.close();
  }

  async #prepare(channel: ConfirmChannel): Promise<void> {
    await channel.assertExchange(EVENT_EXCHANGE, 'topic', { durable: true });
    await channel.assertExchange(DEAD_LETTER_EXCHANGE, 'topic', { durable: true });
    channel.on('return', (message) => this.#onReturn(message));
    this.#late = { count: 0, since: 0 };
  }

  #obstacle(): string | undefined {
    const state = this.state();
    if (state !== 'ready') return `RabbitMQ is ${state}`;
    if (this.#late.count === 0) return undefined;
    if (performance.now() - this.#late.since > this.#confirmTimeoutMs) this.#channel.replace('RabbitMQ keeps confirms back');
    // Sending more to a broker that owes confirms would only pile up in this process's memory.
    return 'earlier messages are not confirmed yet';
  }

  get #confirmTimeoutMs(): number {
    return this.#options.confirmTimeoutMs ?? CONFIRM_TIMEOUT_MS;
  }

  /**
   * `publish` returning false means "buffered, and the buffer is full": nothing is to be sent again, and a call is bounded
   * by its batch, so there is no need to wait for `drain` before waiting for the confirms.
   */
  #send(channel: ConfirmChannel, message: OutgoingMessage): Promise<PublishOutcome> {
    const { promise, resolve } = Promise.withResolvers<PublishOutcome>();
    const content = Buffer.from(JSON.stringify(message.body));
    if (content.length > MAX_BODY_BYTES) return Promise.resolve({ kind: 'rejected', reason: `the body has ${content.length} bytes` });
    const span = spanOf(message);
    const told = (outcome: PublishOutcome) => {
      if (outcome.kind !== 'confirmed') span?.fail(outcome.kind);
      span?.end();
      resolve(outcome);
    };
    const properties = propertiesOf(message, span);
    try {
      channel.publish(message.exchange, message.routingKey, content, properties, (error: unknown) => told(outcomeOf(error)));
    } catch (error) {
      // A channel that is ending says so here; everything else is said against the message.
      told({ kind: error instanceof IllegalOperationError ? 'unavailable' : 'rejected', reason: messageOf(error) });
    }
    return promise;
  }

  /** Waits for all; a confirm that comes later is counted down then, and the message has been reported as unconfirmed. */
  async #confirmed(sent: readonly Promise<PublishOutcome>[]): Promise<PublishOutcome[]> {
    const { promise: deadline, resolve: expire } = Promise.withResolvers<void>();
    const outcomes = new Array<PublishOutcome | undefined>(sent.length).fill(undefined);
    const late = this.#late;
    let expired = false;
    const noted = sent.map(async (promise, index) => {
      outcomes[index] = await promise;
      if (expired) this.#lateArrival(late);
    });
    const timer = setTimeout(expire, this.#confirmTimeoutMs);
    await Promise.race([Promise.all(noted), deadline]);
    clearTimeout(timer);
    expired = true;
    const missing = outcomes.filter((outcome) => outcome === undefined).length;
    if (late.count === 0) late.since = performance.now();
    late.count += missing;
    return outcomes.map((outcome) => outcome ?? { kind: 'unconfirmed', reason: 'not confirmed in time' });
  }

  #lateArrival(late: Late): void {
    late.count -= 1;
    if (late.count === 0 && late === this.#late) this.#options.onReady?.();
  }

  /** RabbitMQ confirms what no queue is bound for. That is no fault of an event, but somebody may be looking for the reason. */
  #onReturn(message: Message): void {
    const { routingKey } = message.fields;
    this.#options.metrics.outboxPublished.inc({ outcome: 'unrouted' });
    if (this.#unroutedKeys.has(routingKey) || this.#unroutedKeys.size >= MAX_UNROUTED_KEYS) return;
    this.#unroutedKeys.add(routingKey);
    this.#options.logger.info({ routingKey }, 'no queue is bound for these events');
  }
}

function unavailable(reason: string): PublishOutcome {
  return { kind: 'unavailable', reason };
}

/** amqplib tells a nack and the end of the channel apart by the text only. */
function outcomeOf(error: unknown): PublishOutcome {
  if (error === null || error === undefined) return CONFIRMED;
  const reason = messageOf(error);
  return { kind: reason === 'message nacked' ? 'rejected' : 'unavailable', reason };
}

/** An event that is published again has the same span: what was made of it goes on from that one. */
function spanOf({ exchange, routingKey, messageId, after = '', headers }: OutgoingMessage): Span | undefined {
  const traceId = headers.traceparent.slice(3, 35);
  return spanRecorder()?.begin({
    name: `send ${exchange}`,
    kind: 'producer',
    attributes: {
      'messaging.system': 'rabbitmq',
      'messaging.operation.type': 'send',
      'messaging.destination.name': exchange,
      'messaging.rabbitmq.destination.routing_key': routingKey,
      'messaging.message.id': messageId,
    },
    after: readTrace(after).traceId === traceId ? after : traceId,
    spanId: messageId.replaceAll('-', '').slice(16).toLowerCase(),
  });
}

function propertiesOf(message: OutgoingMessage, span: Span | undefined) {
  return {
    deliveryMode: 2,
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    messageId: message.messageId,
    timestamp: Math.floor(message.createdAt.getTime() / 1_000),
    type: message.routingKey,
    headers: { ...message.headers, ...(span === undefined ? {} : { traceparent: span.traceparent }) },
    mandatory: true,
  };
}
