import { type ConsumeMessage, connect, type Options } from 'amqplib';
import { rabbitmqUrl } from './rabbitmq.ts';

/** A subscriber like any other of the platform. */
export interface EventListener {
  /** Everything that has arrived so far, in order. */
  readonly arrived: readonly ConsumeMessage[];
  /** What arrived under a message id. Throws when nothing has. */
  find(messageId: string): ConsumeMessage;
  close(): Promise<void>;
}

/**
 * Binds a queue of its own to the events (or another exchange) and takes what comes. With a bounded queue nothing is taken out.
 *
 * @param pattern  routing key or pattern such as `#`
 */
export async function listenToEvents(
  pattern: string,
  queueOptions: Options.AssertQueue = {},
  exchange = 'cloudphone.events',
): Promise<EventListener> {
  const connection = await connect(rabbitmqUrl());
  const channel = await connection.createChannel();
  await channel.assertExchange(exchange, 'topic', { durable: true });
  const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true, ...queueOptions });
  await channel.bindQueue(queue, exchange, pattern);
  const arrived: ConsumeMessage[] = [];
  const take = (message: ConsumeMessage | null) => {
    if (message !== null) arrived.push(message);
  };
  if (queueOptions.maxLength === undefined) await channel.consume(queue, take, { noAck: true });
  return {
    arrived,
    find: (messageId) => {
      const found = arrived.find(({ properties }) => properties.messageId === messageId);
      if (found === undefined) throw new Error(`nothing has arrived with the id ${messageId}`);
      return found;
    },
    close: () => connection.close(),
  };
}
