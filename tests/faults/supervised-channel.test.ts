import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Channel, ConsumeMessage } from 'amqplib';
import { type BrokerConnection, openBrokerConnection } from '../../shared/broker/connection.ts';
import { SupervisedChannel } from '../../shared/broker/supervised-channel.ts';
import { createLogger } from '../../shared/logger.ts';
import { eventually } from '../support/eventually.ts';
import { rabbitmqUrl } from '../support/rabbitmq.ts';

const backoff = { baseMs: 10, maxMs: 50 };
const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A connection, and a channel on it prepared by `prepare`. */
async function supervise(prepare: (channel: Channel) => Promise<void>) {
  const lines: string[] = [];
  const logger = createLogger('test', 'info', { write: (line) => void lines.push(JSON.parse(line).msg) });
  const connection: BrokerConnection = await openBrokerConnection({ url: rabbitmqUrl(), name: 'test', logger, backoff });
  const supervised = new SupervisedChannel({ connection, logger, backoff, open: (model) => model.createChannel(), prepare });
  closers.push(
    () => connection.close(),
    () => supervised.close(),
  );
  return { supervised, connection, lines };
}

const current = (supervised: SupervisedChannel<Channel>) =>
  eventually(() => {
    const channel = supervised.current;
    if (channel === undefined) throw new Error('no channel yet');
    return channel;
  });

/** Acknowledging what was never delivered is answered with 406 PRECONDITION_FAILED. */
function provoke406(channel: Channel): void {
  channel.ack({ fields: { deliveryTag: 4_711 } } as ConsumeMessage);
}

describe('supervised channel', () => {
  test('a channel closed with 406 is replaced by a prepared one', async () => {
    let preparations = 0;
    const { supervised, lines } = await supervise(async () => {
      preparations += 1;
    });
    const first = await current(supervised);
    provoke406(first);
    await eventually(() => expect(supervised.current).not.toBe(first));
    const second = await current(supervised);
    expect(second).not.toBe(first);
    expect(preparations).toBe(2);
    expect(lines.filter((line) => line === 'connected to RabbitMQ')).toHaveLength(1);
  });

  test('a consumer whose queue was deleted is started again', async () => {
    const queue = `test.${randomUUID()}`;
    const arrived: string[] = [];
    const { supervised } = await supervise(async (channel) => {
      await channel.assertQueue(queue, { autoDelete: true });
      await channel.consume(queue, (message) => void (message === null || arrived.push(message.content.toString())), { noAck: true });
    });
    const first = await current(supervised);
    await first.deleteQueue(queue);
    await eventually(() => expect(supervised.current).not.toBe(first));
    const second = await current(supervised);
    second.sendToQueue(queue, Buffer.from('still there'));
    await eventually(() => expect(arrived).toEqual(['still there']));
  });

  test('a preparation that fails is tried again until it succeeds', async () => {
    let preparations = 0;
    const { supervised, lines } = await supervise(async () => {
      preparations += 1;
      if (preparations < 3) throw new Error('not yet');
    });
    await current(supervised);
    expect(preparations).toBe(3);
    expect(lines.filter((line) => line === 'a channel to RabbitMQ could not be prepared')).toHaveLength(2);
  });

  test('a preparation the broker answers with 406 is tried again as well', async () => {
    const exchange = `test.${randomUUID()}`;
    let preparations = 0;
    const { supervised } = await supervise(async (channel) => {
      preparations += 1;
      await channel.assertExchange(exchange, preparations === 2 ? 'fanout' : 'topic', { autoDelete: true });
    });
    provoke406(await current(supervised));
    await eventually(() => expect(preparations).toBe(3));
    await current(supervised);
    await supervised.current?.deleteExchange(exchange);
  });

  test('a channel can be supervised on a connection that is already there', async () => {
    const { connection } = await supervise(async () => undefined);
    await eventually(() => expect(connection.model).toBeDefined());
    const logger = createLogger('test', 'silent');
    const later = new SupervisedChannel({ connection, logger, open: (model) => model.createChannel(), prepare: async () => undefined });
    await current(later);
    await later.close();
    expect(later.current).toBeUndefined();
  });

  test('nothing is rebuilt after closing', async () => {
    let preparations = 0;
    const prepared = Promise.withResolvers<void>();
    const mayGoOn = Promise.withResolvers<void>();
    const { supervised } = await supervise(async () => {
      preparations += 1;
      prepared.resolve();
      await mayGoOn.promise;
    });
    await prepared.promise;
    await supervised.close();
    mayGoOn.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect(supervised.current).toBeUndefined();
    expect(preparations).toBe(1);
  });
});
