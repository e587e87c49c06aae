import { type ChannelModel as Connection, connect, type Message } from 'amqplib';
import { CONSUMED_QUEUES } from '../../shared/consumed/topics.ts';
import { DEAD_LETTER_EXCHANGE, EVENT_EXCHANGE } from '../../shared/events.ts';

type Body = Readonly<Record<string, unknown>>;

/** A service like any other of the platform: bound to everything that is published, and publishing itself. */
export interface EventDesk {
  /** Ids of what has arrived, and how often. */
  readonly arrived: ReadonlyMap<string, number>;
  /** Publishes; resolves when RabbitMQ has it. */
  publish(topic: string, body: Body): Promise<void>;
  /** The next event of this routing key that fits. @throws Error after two minutes */
  next(topic: string, fits: (body: Body) => boolean): Promise<Body>;
  /** Different events that have arrived under this routing key. */
  countOf(topic: string): number;
  close(): Promise<void>;
}

interface Awaited {
  readonly fits: (body: Body) => boolean;
  readonly resolve: (body: Body) => void;
}

const PATIENCE_MS = 120_000;

/** Binds a queue of its own to both exchanges. The queue goes when we do. */
export async function openEventDesk(rabbitmqUrl: string): Promise<EventDesk> {
  const connection = await connect(rabbitmqUrl);
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
  for (const exchange of [EVENT_EXCHANGE, DEAD_LETTER_EXCHANGE]) {
    await channel.assertExchange(exchange, 'topic', { durable: true });
    await channel.bindQueue(queue, exchange, '#');
  }
  const arrived = new Map<string, number>();
  const counts = new Map<string, number>();
  const awaited = new Map<string, Set<Awaited>>();

  function take({ content, fields, properties }: Message): void {
    const id: unknown = properties.messageId;
    if (typeof id !== 'string') return;
    if (!arrived.has(id)) counts.set(fields.routingKey, (counts.get(fields.routingKey) ?? 0) + 1);
    arrived.set(id, (arrived.get(id) ?? 0) + 1);
    const waiting = awaited.get(fields.routingKey);
    if (waiting === undefined) return;
    const body = JSON.parse(content.toString()) as Body;
    for (const one of waiting) if (one.fits(body)) one.resolve(body);
  }

  await channel.prefetch(500);
  await channel.consume(queue, (message) => {
    if (message === null) return;
    take(message);
    channel.ack(message);
  });

  return {
    arrived,
    countOf: (topic) => counts.get(topic) ?? 0,
    publish: async (topic, body) => {
      const content = Buffer.from(JSON.stringify(body));
      channel.publish(EVENT_EXCHANGE, topic, content, {
        messageId: crypto.randomUUID(),
        persistent: true,
        contentType: 'application/json',
      });
      await channel.waitForConfirms();
    },
    next: async (topic, fits) => {
      const { promise, resolve, reject } = Promise.withResolvers<Body>();
      const one = { fits, resolve };
      const waiting = awaited.get(topic) ?? new Set();
      awaited.set(topic, waiting.add(one));
      const timer = setTimeout(() => reject(new Error(`no ${topic} in two minutes`)), PATIENCE_MS);
      return promise.finally(() => {
        clearTimeout(timer);
        waiting.delete(one);
        if (waiting.size === 0) awaited.delete(topic);
      });
    },
    close: () => connection.close(),
  };
}

/**
 * Whether a cluster listens to the events of this RabbitMQ already. Its queues and ours have the same names: it would take
 * half of what is meant for ours.
 */
export async function isListenedTo(rabbitmqUrl: string, queuePrefix = 'scheduler'): Promise<boolean> {
  const connection = await connect(rabbitmqUrl);
  try {
    for (const name of CONSUMED_QUEUES) if ((await consumersOf(connection, `${queuePrefix}.${name}`)) > 0) return true;
    return false;
  } finally {
    await connection.close();
  }
}

const NOT_FOUND = 404;

async function consumersOf(connection: Connection, queue: string): Promise<number> {
  const channel = await connection.createChannel();
  // It is told by the end of the channel that a queue is missing: nothing to hear of twice.
  channel.on('error', () => undefined);
  try {
    return (await channel.checkQueue(queue)).consumerCount;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === NOT_FOUND) return 0;
    throw error;
  }
}
