import { setTimeout as pause } from 'node:timers/promises';
import type { ConfirmChannel, ConsumeMessage } from 'amqplib';
import { DEAD_LETTER_EXCHANGE, EVENT_EXCHANGE } from '../events.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { type SpanStart, spanned } from '../spans.ts';
import { type Backoff, backoffDelay } from './backoff.ts';
import { type BrokerConnection, openBrokerConnection } from './connection.ts';
import { type DeadLetters, openDeadLetters } from './dead-letters.ts';
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
  /** Longest wait for RabbitMQ to confirm a dead letter while it takes messages. */
  readonly confirmTimeoutMs?: number;
}

/** A running consumer. */
export interface Consumer {
  /** Whether messages come in. */
  isListening(): boolean;
  /** Takes no more, lets what is in hand be acknowledged, then ends. */
  close(): Promise<void>;
}

const OUTCOMES: readonly Taking['kind'][] = ['taken', 'malformed'];
const AGAIN: Backoff = { baseMs: 200, maxMs: 10_000 };
const CONFIRM_TIMEOUT_MS = 10_000;
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
  /** Whether the last message could not be kept, or buried: said once, not for each of a flood. */
  readonly #stuck = { keep: false, bury: false };

  constructor(connection: BrokerConnection, options: ConsumerOptions) {
    this.#options = options;
    // A counter that is first seen at 1 has not grown for Prometheus: it is there before the first of its kind.
    for (const { name } of options.queues) for (const outcome of OUTCOMES) options.metrics.eventsConsumed.inc({ queue: name, outcome }, 0);
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
    const { queues, prefetch, exchange = EVENT_EXCHANGE, confirmTimeoutMs = CONFIRM_TIMEOUT_MS } = this.#options;
    await channel.assertExchange(exchange, 'topic', { durable: true });
    await channel.assertExchange(DEAD_LETTER_EXCHANGE, 'topic', { durable: true });
    const deadLetters = openDeadLetters(channel, confirmTimeoutMs, () => this.#connection.isBlocked);
    await channel.prefetch(prefetch);
    for (const { name, topics } of queues) {
      const refused = { 'x-dead-letter-exchange': DEAD_LETTER_EXCHANGE, 'x-dead-letter-routing-key': `${name}.failed` };
      await channel.assertQueue(name, { durable: true, arguments: refused });
      await deadLetters.bind(name);
      for (const topic of topics) await channel.bindQueue(name, exchange, topic);
    }
    const door = { channel, deadLetters };
    const tags = await Promise.all(
      queues.map(({ name }) => channel.consume(name, (message) => message !== null && this.#onMessage(door, name, message))),
    );
    this.#tags = tags.map(({ consumerTag }) => consumerTag);
  }

  #onMessage(door: Door, queue: string, message: ConsumeMessage): void {
    const work = this.#handle(door, queue, message).finally(() => this.#inHand.delete(work));
    this.#inHand.add(work);
  }

  async #handle({ channel, deadLetters }: Door, queue: string, message: ConsumeMessage): Promise<void> {
    const { take, logger, metrics } = this.#options;
    const topic = message.fields.routingKey;
    try {
      const taking = await spanned(
        () => spanOf(queue, message),
        () => this.#insist(channel, { what: 'keep', topic }, () => take(takenMessage(message))),
      );
      if (taking.kind === 'malformed') {
        logger.warn({ queue, topic, reason: taking.reason }, 'an event that cannot be read');
        await this.#insist(channel, { what: 'bury', topic }, () => deadLetters.bury(queue, message, taking.reason));
      }
      channel.ack(message);
      metrics.eventsConsumed.inc({ queue, outcome: taking.kind });
    } catch (error) {
      // The channel has ended, or we end: RabbitMQ hands the message out again.
      logger.debug({ err: error, queue }, 'a message is left to be delivered again');
    }
  }

  /** Tries until it is done. Rejects when there is no use in it any more, because the channel has ended or we do. */
  async #insist<T>(channel: ConfirmChannel, { what, topic }: Doing, work: () => Promise<T>): Promise<T> {
    const { logger, again = AGAIN } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const result = await work();
        this.#stuck[what] = false;
        return result;
      } catch (error) {
        const level = this.#stuck[what] ? 'debug' : 'warn';
        this.#stuck[what] = true;
        logger[level]({ err: error, topic }, STUCK[what]);
      }
      await pause(backoffDelay(attempt, again), undefined, { signal: this.#closing.signal });
      if (this.#channel.current !== channel) throw new Error('the channel has ended');
    }
  }
}

/** Where a message came in, and where it goes if nobody can take it. */
interface Door {
  readonly channel: ConfirmChannel;
  readonly deadLetters: DeadLetters;
}

/** What is done with a message of a routing key. */
interface Doing {
  readonly what: keyof typeof STUCK;
  readonly topic: string;
}

const STUCK = {
  keep: 'events cannot be kept at the moment, they are tried again',
  bury: 'dead letters cannot be written at the moment, they are tried again',
} as const;

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
