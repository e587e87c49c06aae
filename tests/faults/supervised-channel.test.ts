import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { type BrokerConnection, openBrokerConnection } from '../../shared/broker/connection.ts';
import { SupervisedChannel, type SupervisedChannelOptions } from '../../shared/broker/supervised-channel.ts';
import { createLogger } from '../../shared/logger.ts';
import { createFrameGate, METHODS } from '../support/amqp-frames.ts';
import { eventually } from '../support/eventually.ts';
import { rabbitmqUrl } from '../support/rabbitmq.ts';
import { type Filters, startTcpProxy } from '../support/tcp-proxy.ts';

const backoff = { baseMs: 10, maxMs: 50 };
const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A connection, and a channel on it prepared by `prepare`. */
async function supervise(
  prepare: (channel: Channel) => Promise<void>,
  url = rabbitmqUrl(),
  options: Partial<SupervisedChannelOptions<Channel>> = {},
) {
  const lines: string[] = [];
  const logger = createLogger('test', 'info', { write: (line) => void lines.push(JSON.parse(line).msg) });
  const connection: BrokerConnection = await openBrokerConnection({ url, name: 'test', logger, backoff });
  const parts = { connection, logger, backoff, open: (model: ChannelModel) => model.createChannel(), prepare, ...options };
  const supervised = new SupervisedChannel(parts);
  closers.push(
    () => connection.close(),
    () => supervised.close(),
  );
  return { supervised, connection, lines };
}

/** The address of RabbitMQ behind a network that keeps something back. */
async function behind(filters: Filters): Promise<string> {
  const url = new URL(rabbitmqUrl());
  const proxy = await startTcpProxy(url, filters);
  closers.push(() => proxy.close());
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  return url.toString();
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

  test.each(['openChannel', 'declareExchange'] as const)(
    'a broker that lives and does not answer (%s) is left for another connection',
    async (method) => {
      const gate = createFrameGate(METHODS[method]);
      const assertExchange = async (channel: Channel) => void (await channel.assertExchange('amq.topic', 'topic'));
      const url = await behind({ fromClient: gate.filter });
      const { supervised, lines } = await supervise(assertExchange, url, { prepareTimeoutMs: 200 });
      await eventually(() => expect(lines).toContain('RabbitMQ does not answer on a new channel, the connection is given up'));
      expect(supervised.current).toBeUndefined();
      gate.open();
      await current(supervised);
      expect(lines.filter((line) => line === 'connected to RabbitMQ').length).toBeGreaterThan(1);
    },
  );

  test('a channel whose consumer was cancelled is replaced although its close is not answered', async () => {
    const queue = `test.${randomUUID()}`;
    const gate = createFrameGate(METHODS.channelClosed);
    const { supervised } = await supervise(
      async (channel) => {
        await channel.assertQueue(queue, { autoDelete: true });
        await channel.consume(queue, () => undefined);
      },
      await behind({ fromServer: gate.filter }),
    );
    const first = await current(supervised);
    await first.deleteQueue(queue);
    await eventually(() => expect(gate.held()).toBe(1));
    await eventually(() => expect(supervised.current).not.toBe(first));
    await current(supervised);
    gate.open();
  });

  test('the close of a channel that is answered late does not make a second one beside its successor', async () => {
    const gate = createFrameGate(METHODS.channelClosed);
    const opened: Channel[] = [];
    const { supervised } = await supervise(
      async (channel) => {
        opened.push(channel);
        if (opened.length === 1) throw new Error('not yet');
      },
      await behind({ fromServer: gate.filter }),
      { backoff: { baseMs: 1, maxMs: 1 } },
    );
    const second = await current(supervised);
    await eventually(() => expect(gate.held()).toBe(1));
    const closed = new Promise((resolve) => opened[0]?.once('close', resolve));
    gate.open();
    await closed;
    // Time enough for another to be opened.
    for (let trip = 0; trip < 50; trip += 1) await second.checkExchange('amq.topic');
    expect(opened).toHaveLength(2);
    expect(supervised.current).toBe(second);
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
