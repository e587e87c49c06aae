import { setTimeout as pause } from 'node:timers/promises';
import type { ConfirmChannel, ConsumeMessage } from 'amqplib';
import { DEAD_LETTER_EXCHANGE, EVENT_EXCHANGE } from '../events.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { type SpanStart, spanned } from '../spans.ts';
import { type Backoff, backoffDelay } from './backoff.ts';
import { type BrokerConnection, openBrokerConnection } from './connection.ts';
import { withDeadline } from './deadline.ts';
import { SupervisedChannel } from './supervised-channel.ts';

/** A queue of ours and what is bound to it. */
export interface ConsumedQueueSpec {
  /** Its full name, `scheduler.<name>`; what cannot be taken goes out as `<name>.failed`. */
  readonly name: string;
  readonly topics: readonly string[];
}

/** A message as its taker sees it. */
export interface TakenMessage {
  readonly topic: string;
  readonly content: Buffer;
  readonly messageId: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** Kept somewhere safe, or not worth keeping and why. A fault (thrown) means: later. */
export type Taking = { readonly kind: 'taken' } | { readonly kind: 'malformed'; readonly reason: string };

/** Times in ms. */
export interface ConsumerOptions {
  readonly url: string;
  readonly name: string;
  readonly queues: readonly ConsumedQueueSpec[];
  /** The exchange the queues are bound to; that of the platform unless a test has one of its own. */
  readonly exchange?: string;
  /** Messages in hand of each queue. */
  readonly prefetch: number;
  /** Keeps a message; it is acknowledged after that. */
  readonly take: (message: TakenMessage) => Promise<Taking>;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'eventsConsumed'>;
  readonly backoff?: Backoff;
  /** Pause before a message that could not be kept is tried again. */
  readonly again?: Backoff;
}

/** A running consumer. */
export interface Consumer {
  /** Whether messages come in. */
  isListening(): boolean;
  /** Takes no more, lets what is in hand be acknowledged, then ends. */
  close(): Promise<void>;
}

/** Where what nobody could take is kept for people to look at. */
export const DEAD_QUEUE = 'scheduler.dead';

const AGAIN: Backoff = { baseMs: 200, maxMs: 10_000 };
const CLOSE_DEADLINE_MS = 5_000;

/** Starts listening. Returns at once: RabbitMQ may come up later. */
export async function startConsumer(options: ConsumerOptions): Promise<Consumer> {
  return new SupervisedConsumer(await openBrokerConnection(options), options);
}

/**
 * At least once: a message is acknowledged when it is kept. What cannot be kept for the moment stays in hand and is tried
 * again after a pause, so that a Redis that is away fills no queue in circles; the prefetch bounds what is in hand.
 */
class SupervisedConsumer implements Consumer {
  readonly #options: ConsumerOptions;
  readonly #connection: BrokerConnection;
  readonly #channel: SupervisedChannel<ConfirmChannel>;
  readonly #closing = new AbortController();
  readonly #inHand = new Set<Promise<void>>();
  #tags: string[] = [];
  /** Whether the last message could not be kept: said once, not for each of a flood. */
  #stuck = false;

  constructor(connection: BrokerConnection, options: ConsumerOptions) {
    this.#options = options;
    this.#connection = connection;
    this.#channel = new SupervisedChannel({
      connection,
      logger: options.logger,
      open: (model) => model.createConfirmChannel(),
      prepare: (channel) => this.#prepare(channel),
      ...(options.backoff === undefined ? {} : { backoff: options.backoff }),
    });
  }

  isListening(): boolean {
    return !this.#closing.signal.aborted && this.#channel.current !== undefined;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const channel = this.#channel.current;
    // A consumer that is cancelled gets no more; what it has in hand may still be acknowledged.
    await withDeadline(this.#cancel(channel), CLOSE_DEADLINE_MS);
    await withDeadline(Promise.allSettled(this.#inHand), CLOSE_DEADLINE_MS);
    await this.#channel.close();
    await this.#connection.close();
  }

  async #cancel(channel: ConfirmChannel | undefined): Promise<void> {
    if (channel === undefined) return;
    try {
      await Promise.all(this.#tags.map((tag) => channel.cancel(tag)));
    } catch (error) {
      this.#options.logger.debug({ err: error }, 'the channel ended before its consumers were cancelled');
    }
  }

  async #prepare(channel: ConfirmChannel): Promise<void> {
    const { queues, prefetch, exchange = EVENT_EXCHANGE } = this.#options;
    await channel.assertExchange(exchange, 'topic', { durable: true });
    await channel.assertExchange(DEAD_LETTER_EXCHANGE, 'topic', { durable: true });
    await channel.assertQueue(DEAD_QUEUE, { durable: true });
    await channel.prefetch(prefetch);
    for (const { name, topics } of queues) {
      const deadLetters = { 'x-dead-letter-exchange': DEAD_LETTER_EXCHANGE, 'x-dead-letter-routing-key': `${name}.failed` };
      await channel.assertQueue(name, { durable: true, arguments: deadLetters });
      await channel.bindQueue(DEAD_QUEUE, DEAD_LETTER_EXCHANGE, `${name}.failed`);
      for (const topic of topics) await channel.bindQueue(name, exchange, topic);
    }
    const tags = await Promise.all(
      queues.map(({ name }) => channel.consume(name, (message) => message !== null && this.#onMessage(channel, name, message))),
    );
    this.#tags = tags.map(({ consumerTag }) => consumerTag);
  }

  #onMessage(channel: ConfirmChannel, queue: string, message: ConsumeMessage): void {
    const work = this.#handle(channel, queue, message).finally(() => this.#inHand.delete(work));
    this.#inHand.add(work);
  }

  async #handle(channel: ConfirmChannel, queue: string, message: ConsumeMessage): Promise<void> {
    const { logger } = this.#options;
    try {
      const taking = await spanned(
        () => spanOf(queue, message),
        () => this.#keep(channel, message),
      );
      if (taking === undefined) return;
      if (taking.kind === 'malformed') await bury(channel, queue, message, taking.reason);
      if (taking.kind === 'malformed')
        logger.warn({ queue, topic: message.fields.routingKey, reason: taking.reason }, 'an event that cannot be read');
      channel.ack(message);
      this.#options.metrics.eventsConsumed.inc({ queue, outcome: taking.kind });
    } catch (error) {
      // The channel has ended: RabbitMQ hands the message out again.
      logger.debug({ err: error, queue }, 'a message is left to be delivered again');
    }
  }

  /** Tries until the message is kept; undefined when there is no use in it any more, because its channel has ended. */
  async #keep(channel: ConfirmChannel, message: ConsumeMessage): Promise<Taking | undefined> {
    const { take, logger, again = AGAIN } = this.#options;
    const taken = takenMessage(message);
    for (let attempt = 1; ; attempt += 1) {
      try {
        const taking = await take(taken);
        this.#stuck = false;
        return taking;
      } catch (error) {
        const level = this.#stuck ? 'debug' : 'warn';
        this.#stuck = true;
        logger[level]({ err: error, topic: taken.topic }, 'events cannot be kept at the moment, they are tried again');
      }
      await pause(backoffDelay(attempt, again), undefined, { signal: this.#closing.signal });
      if (this.#channel.current !== channel) return undefined;
    }
  }
}

/** To the dead letters, with the reason; resolves when RabbitMQ has it. */
async function bury(channel: ConfirmChannel, queue: string, message: ConsumeMessage, reason: string): Promise<void> {
  const { messageId, contentType, headers } = message.properties;
  const said = { ...headers, 'x-reason': reason, 'x-original-routing-key': message.fields.routingKey };
  const options = { persistent: true, messageId, contentType, headers: said };
  channel.publish(DEAD_LETTER_EXCHANGE, `${queue}.failed`, message.content, options);
  await channel.waitForConfirms();
}

function spanOf(queue: string, { fields, properties }: ConsumeMessage): SpanStart {
  const said: unknown = properties.headers?.['traceparent'];
  return {
    name: `process ${queue}`,
    kind: 'consumer',
    attributes: {
      'messaging.system': 'rabbitmq',
      'messaging.operation.type': 'process',
      'messaging.destination.name': queue,
      'messaging.rabbitmq.destination.routing_key': fields.routingKey,
    },
    after: typeof said === 'string' ? said : undefined,
  };
}

function takenMessage(message: ConsumeMessage): TakenMessage {
  const { messageId, headers } = message.properties;
  return {
    topic: message.fields.routingKey,
    content: message.content,
    messageId: typeof messageId === 'string' ? messageId : undefined,
    headers: headers ?? {},
  };
}
