import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type ConsumeMessage, connect } from 'amqplib';
import { createPublisher, type OutgoingMessage, type Publisher, type PublisherOptions } from '../../shared/broker/publisher.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { blockedFrame, createFrameGate, METHODS, unblockedFrame } from '../support/amqp-frames.ts';
import { listenToEvents } from '../support/event-listener.ts';
import { eventually } from '../support/eventually.ts';
import { rabbitmqUrl } from '../support/rabbitmq.ts';
import { type Filters, startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

const QUICK: Partial<PublisherOptions> = {
  backoff: { baseMs: 20, maxMs: 100 },
  confirmTimeoutMs: 5_000,
  connectTimeoutMs: 2_000,
};
const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function openPublisher(options: Partial<PublisherOptions> = {}) {
  const lines: string[] = [];
  const logger = createLogger('test', 'info', { write: (line) => void lines.push(JSON.parse(line).msg) });
  const metrics = createMetrics('test');
  const publisher = await createPublisher({ url: rabbitmqUrl(), name: 'test', logger, metrics, ...QUICK, ...options });
  closers.push(() => publisher.close());
  return { publisher, lines, metrics };
}

/** A publisher whose connection goes through a network that can be cut. */
async function openBehindProxy(
  options: Partial<PublisherOptions> = {},
  filters: Filters = {},
): Promise<{ publisher: Publisher; proxy: TcpProxy; lines: string[] }> {
  const url = new URL(rabbitmqUrl());
  const proxy = await startTcpProxy(url, filters);
  closers.push(() => proxy.close());
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  return { proxy, ...(await openPublisher({ url: url.toString(), ...options })) };
}

const isReady = (publisher: Publisher) => eventually(() => expect(publisher.state()).toBe('ready'));

function message(overrides: Partial<OutgoingMessage> = {}): OutgoingMessage {
  const messageId = randomUUID();
  return {
    messageId,
    exchange: 'cloudphone.events',
    routingKey: 'device.allocated',
    body: { eventId: messageId, note: 'ünïcode' },
    createdAt: new Date('2026-01-02T03:04:05.678Z'),
    headers: { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, 'x-request-id': 'order-17' },
    ...overrides,
  };
}

async function kindsOf(publisher: Publisher, messages: readonly OutgoingMessage[]) {
  return (await publisher.publish(messages)).map(({ kind }) => kind);
}

describe('publishing', () => {
  test('an event arrives with the properties that were promised', async () => {
    const { publisher } = await openPublisher();
    await isReady(publisher);
    const listener = await listenToEvents('device.allocated');
    closers.push(listener.close);
    const sent = message();
    expect(await kindsOf(publisher, [sent])).toEqual(['confirmed']);
    const arrived: ConsumeMessage = await eventually(() => listener.find(sent.messageId));
    expect(arrived.properties).toMatchObject({
      deliveryMode: 2,
      contentType: 'application/json',
      messageId: sent.messageId,
      timestamp: 1_767_323_045,
      headers: sent.headers,
    });
    expect(JSON.parse(arrived.content.toString('utf8'))).toEqual(sent.body);
  });

  test('both exchanges are there, of type topic and durable', async () => {
    const { publisher } = await openPublisher();
    await isReady(publisher);
    const connection = await connect(rabbitmqUrl());
    closers.push(() => connection.close());
    const channel = await connection.createChannel();
    for (const exchange of ['cloudphone.events', 'cloudphone.dlx']) {
      // Asserting another kind under the same name would be answered with 406.
      await expect(channel.assertExchange(exchange, 'topic', { durable: true })).resolves.toEqual({ exchange });
    }
  });

  test('events nobody listens to are confirmed, counted and said once', async () => {
    const { publisher, lines, metrics } = await openPublisher();
    await isReady(publisher);
    const routingKey = `nobody.${randomUUID()}`;
    expect(await kindsOf(publisher, [message({ routingKey }), message({ routingKey })])).toEqual(['confirmed', 'confirmed']);
    expect(lines.filter((line) => line === 'no queue is bound for these events')).toHaveLength(1);
    const { values } = await metrics.outboxPublished.get();
    expect(values.find(({ labels }) => labels.outcome === 'unrouted')?.value).toBe(2);
  });

  test('a message the protocol cannot carry is refused alone', async () => {
    const { publisher } = await openPublisher();
    await isReady(publisher);
    const messages = [message(), message({ routingKey: 'x'.repeat(300) }), message({ body: { much: 'x'.repeat(2_000_000) } }), message()];
    expect(await kindsOf(publisher, messages)).toEqual(['confirmed', 'rejected', 'rejected', 'confirmed']);
  });

  test('a message refused by a full queue is told apart from the others of its batch', async () => {
    const { publisher } = await openPublisher();
    await isReady(publisher);
    const routingKey = `full.${randomUUID()}`;
    const listener = await listenToEvents(routingKey, { maxLength: 1, overflow: 'reject-publish' });
    closers.push(listener.close);
    const [first, second, other] = await publisher.publish([message({ routingKey }), message({ routingKey }), message()]);
    expect([first?.kind, other?.kind]).toEqual(['confirmed', 'confirmed']);
    expect(second).toEqual({ kind: 'rejected', reason: 'message nacked' });
  });

  test('without an address events are off, said once', async () => {
    const { publisher, lines } = await openPublisher({ url: '' });
    expect(publisher.state()).toBe('off');
    expect(await kindsOf(publisher, [message()])).toEqual(['unavailable']);
    expect(await kindsOf(publisher, [message()])).toEqual(['unavailable']);
    expect(lines).toEqual(['events are off: RABBITMQ_URL is empty']);
  });

  test('a closed publisher says so', async () => {
    const { publisher } = await openPublisher();
    await isReady(publisher);
    await publisher.close();
    expect(publisher.state()).toBe('closed');
    expect(await publisher.publish([message()])).toEqual([{ kind: 'unavailable', reason: 'RabbitMQ is closed' }]);
  });
});

describe('publishing through faults', () => {
  test('a broker that is down at the start is waited for', async () => {
    const { publisher, proxy } = await openBehindProxy();
    proxy.cut();
    await eventually(() => expect(publisher.state()).toBe('connecting'));
    expect(await kindsOf(publisher, [message()])).toEqual(['unavailable']);
    proxy.restore();
    await isReady(publisher);
    expect(await kindsOf(publisher, [message()])).toEqual(['confirmed']);
  });

  test('a cut connection comes back by itself and tells that it is ready', async () => {
    let readies = 0;
    const onReady = () => {
      readies += 1;
    };
    const { publisher, proxy } = await openBehindProxy({ onReady });
    await isReady(publisher);
    proxy.cut();
    await eventually(() => expect(publisher.state()).toBe('connecting'));
    proxy.restore();
    await isReady(publisher);
    expect(readies).toBe(2);
    expect(await kindsOf(publisher, [message()])).toEqual(['confirmed']);
  });

  test('messages in flight when the connection is cut are reported as unavailable', async () => {
    const { publisher, proxy } = await openBehindProxy();
    await isReady(publisher);
    proxy.stall();
    const publishing = publisher.publish([message(), message()]);
    proxy.cut();
    expect((await publishing).map(({ kind }) => kind)).toEqual(['unavailable', 'unavailable']);
  });

  test('a silent broker costs one timeout, nothing more is piled up, and its late confirm opens the way again', async () => {
    const { publisher, proxy } = await openBehindProxy({ confirmTimeoutMs: 50 });
    await isReady(publisher);
    proxy.stall();
    expect(await publisher.publish([message()])).toEqual([{ kind: 'unconfirmed', reason: 'not confirmed in time' }]);
    expect(await publisher.publish([message()])).toEqual([{ kind: 'unavailable', reason: 'earlier messages are not confirmed yet' }]);
    proxy.resume();
    await eventually(async () => expect(await kindsOf(publisher, [message()])).toEqual(['confirmed']));
  });

  test('confirms that are kept back for good cost the channel, not all that is published after them', async () => {
    const gate = createFrameGate(METHODS.confirmed);
    const { publisher, lines } = await openBehindProxy({ confirmTimeoutMs: 50 }, { fromServer: gate.filter });
    await isReady(publisher);
    expect(await kindsOf(publisher, [message()])).toEqual(['unconfirmed']);
    await eventually(async () => {
      await publisher.publish([message()]);
      expect(lines).toContain('a channel to RabbitMQ is replaced');
    });
    await isReady(publisher);
    expect(await kindsOf(publisher, [message()])).toEqual(['unconfirmed']);
    gate.open();
    await eventually(async () => expect(await kindsOf(publisher, [message()])).toEqual(['confirmed']));
    expect(lines.filter((line) => line === 'connected to RabbitMQ')).toHaveLength(1);
  });

  test('a broker that stays silent is given up by its heartbeat', async () => {
    const { publisher, proxy } = await openBehindProxy({ confirmTimeoutMs: 50, heartbeatSeconds: 1 });
    await isReady(publisher);
    proxy.stall();
    await publisher.publish([message()]);
    await eventually(() => expect(publisher.state()).toBe('connecting'), 20_000);
    proxy.resume();
    await isReady(publisher);
    await eventually(async () => expect(await kindsOf(publisher, [message()])).toEqual(['confirmed']));
  });

  test('publishing pauses while RabbitMQ says it is short of resources', async () => {
    let readies = 0;
    const onReady = () => {
      readies += 1;
    };
    const { publisher, proxy } = await openBehindProxy({ onReady });
    await isReady(publisher);
    proxy.sayToClients(blockedFrame('low on memory'));
    await eventually(() => expect(publisher.state()).toBe('blocked'));
    expect(await publisher.publish([message()])).toEqual([{ kind: 'unavailable', reason: 'RabbitMQ is blocked' }]);
    proxy.sayToClients(unblockedFrame());
    await isReady(publisher);
    expect(readies).toBe(2);
    expect(await kindsOf(publisher, [message()])).toEqual(['confirmed']);
  });

  test('a channel the broker closes is replaced although the connection stays', async () => {
    const { publisher, lines } = await openPublisher();
    await isReady(publisher);
    expect(await kindsOf(publisher, [message({ exchange: 'no.such.exchange' }), message()])).toEqual(['unavailable', 'unavailable']);
    await isReady(publisher);
    expect(await kindsOf(publisher, [message()])).toEqual(['confirmed']);
    expect(lines.filter((line) => line === 'connected to RabbitMQ')).toHaveLength(1);
    expect(lines).toContain('RabbitMQ closed a channel');
  });
});
