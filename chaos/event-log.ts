import { setTimeout as pause } from 'node:timers/promises';
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { DEAD_LETTER_EXCHANGE, EVENT_EXCHANGE } from '../shared/events.ts';

/** Another service of the platform: it hears everything that is published, and publishes itself. It comes back when RabbitMQ does. */
export interface EventLog {
  /** Ids of what has arrived, and how often. */
  readonly arrived: ReadonlyMap<string, number>;
  /** How often RabbitMQ has said that it takes nothing more. */
  blocked(): number;
  /** How much has arrived under routing keys like this. */
  heard(topic: RegExp): number;
  /** Bodies by routing key, of those somebody waits for. */
  answerOf(topic: string): Readonly<Record<string, unknown>> | undefined;
  /** Publishes until RabbitMQ has it. The same id again is the same event. */
  publish(topic: string, body: object | string, id: string): Promise<void>;
  /** Resolves once it listens. */
  readonly listening: Promise<void>;
  close(): Promise<void>;
}

const QUEUE = 'chaos.log';
const AGAIN_MS = 200;

/** Listens with a durable queue, so that nothing is missed while it is away. */
export function openEventLog(url: string): EventLog {
  const arrived = new Map<string, number>();
  const answers = new Map<string, Record<string, unknown>>();
  const { promise: listening, resolve: isListening } = Promise.withResolvers<void>();
  const topics = new Map<string, number>();
  let closed = false;
  let blocked = 0;
  let open: { readonly model: ChannelModel; readonly channel: ConfirmChannel } | undefined;

  async function listen(): Promise<void> {
    const model = await connect(url);
    const gone = new Promise<void>((resolve) => model.once('close', () => resolve()));
    // Said by `close` as well, which is waited for.
    model.on('error', () => undefined);
    model.on('blocked', () => {
      blocked += 1;
    });
    const channel = await model.createConfirmChannel();
    channel.on('error', () => undefined);
    await channel.assertQueue(QUEUE, { durable: true });
    for (const exchange of [EVENT_EXCHANGE, DEAD_LETTER_EXCHANGE]) {
      await channel.assertExchange(exchange, 'topic', { durable: true });
      await channel.bindQueue(QUEUE, exchange, '#');
    }
    await channel.consume(QUEUE, (message) => {
      if (message === null) return;
      const { routingKey } = message.fields;
      const id = String(message.properties.messageId);
      arrived.set(id, (arrived.get(id) ?? 0) + 1);
      topics.set(routingKey, (topics.get(routingKey) ?? 0) + 1);
      if (routingKey.startsWith('device.allocate.')) answers.set(routingKey, JSON.parse(message.content.toString()));
      channel.ack(message);
    });
    open = { model, channel };
    isListening();
    await gone;
  }

  async function keepListening(): Promise<void> {
    while (!closed) {
      // RabbitMQ away is what this is for.
      await listen().catch(() => undefined);
      open = undefined;
      if (!closed) await pause(AGAIN_MS);
    }
  }

  async function send(topic: string, body: object | string, id: string): Promise<boolean> {
    if (open === undefined) return false;
    const { channel } = open;
    const content = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    try {
      return await new Promise<boolean>((resolve) => {
        channel.publish(EVENT_EXCHANGE, topic, content, { messageId: id, persistent: true }, (error: unknown) => resolve(!error));
      });
    } catch {
      // The channel ends at this moment: the caller sends again.
      return false;
    }
  }

  const ended = keepListening();
  return {
    arrived,
    listening,
    blocked: () => blocked,
    heard: (topic) => [...topics].reduce((sum, [key, count]) => (topic.test(key) ? sum + count : sum), 0),
    answerOf: (topic) => answers.get(topic),
    publish: async (topic, body, id) => {
      while (!closed && !(await send(topic, body, id))) await pause(AGAIN_MS);
    },
    close: async () => {
      closed = true;
      // A connection that broke meanwhile has nothing left to close.
      await open?.model.close().catch(() => undefined);
      await ended;
    },
  };
}
