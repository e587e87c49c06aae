import { connect } from 'amqplib';
import { DEAD_LETTER_EXCHANGE, EVENT_EXCHANGE } from '../../shared/events.ts';

/** A consumer like any other of the platform, bound to everything that is published. */
export interface EventCounter {
  /** Ids of what has arrived, and how often. */
  readonly arrived: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** Binds a queue of its own to both exchanges. The queue goes when we do. */
export async function countEvents(rabbitmqUrl: string): Promise<EventCounter> {
  const connection = await connect(rabbitmqUrl);
  const channel = await connection.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
  for (const exchange of [EVENT_EXCHANGE, DEAD_LETTER_EXCHANGE]) {
    await channel.assertExchange(exchange, 'topic', { durable: true });
    await channel.bindQueue(queue, exchange, '#');
  }
  const arrived = new Map<string, number>();
  await channel.prefetch(500);
  await channel.consume(queue, (message) => {
    if (message === null) return;
    const id: unknown = message.properties.messageId;
    if (typeof id === 'string') arrived.set(id, (arrived.get(id) ?? 0) + 1);
    channel.ack(message);
  });
  return { arrived, close: () => connection.close() };
}
