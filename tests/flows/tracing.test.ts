import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { signToken } from '../../cli/token.ts';
import { freePort } from '../../dev/cluster/ports.ts';
import { startNotificationService } from '../../dev/stand-ins/notification-service.ts';
import { createProducer } from '../../queues/producer.ts';
import { createLogger } from '../../shared/logger.ts';
import { openTracing } from '../../shared/run/tracing.ts';
import { startAllocation } from '../../workers/allocation/start-allocation.ts';
import { type EventListener, listenToEvents } from '../support/event-listener.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { openListenerBench } from '../support/listener-bench.ts';
import { SERVICE_SECRET } from '../support/neighbours.ts';
import { type ProductProcess, spawnProduct } from '../support/product-process.ts';
import { rabbitmqUrl } from '../support/rabbitmq.ts';
import { redisUrl } from '../support/redis.ts';
import { type ArrivedSpan, kindOf, type SpanCollector, startSpanCollector } from '../support/span-collector.ts';
import { type Wired, wire } from '../support/wire.ts';

const MAINS = ['api/main.ts', 'workers/allocation/main.ts', 'workers/relay/main.ts', 'workers/delivery/main.ts'];
const USER_SECRET = 'the key of user tokens in these tests';

/** What an allocation needs, as processes, with stand-ins for the neighbours. */
interface Product {
  readonly processes: readonly ProductProcess[];
  allocate(userId: string, headers?: Record<string, string>): Promise<Response>;
  /** Ends all. @returns exit codes */
  end(): Promise<(number | null)[]>;
}

let wired: Wired;
let notifications: Awaited<ReturnType<typeof startNotificationService>>;
let events: EventListener;
/** Every process that was started, so that none outlives a test that failed. */
const started: ProductProcess[] = [];

beforeAll(async () => {
  wired = await wire({ allocationWorkers: 0, waitlistWorkers: 0 });
  notifications = await startNotificationService({ port: 0, secret: SERVICE_SECRET });
  events = await listenToEvents('device.allocated');
  await addDevices(wired.store, alike(20));
});
afterAll(async () => {
  await Promise.all(started.map((process) => process.end()));
  await events.close();
  await notifications.close();
  await wired.close();
});

async function startProduct(endpoint: string): Promise<Product> {
  const port = await freePort();
  const settings = {
    DATABASE_URL: wired.databaseUrl,
    REDIS_URL: redisUrl(),
    RABBITMQ_URL: rabbitmqUrl(),
    QUEUE_PREFIX: wired.prefix,
    JWT_SECRET: USER_SECRET,
    SERVICE_TOKEN_SECRET: SERVICE_SECRET,
    USER_SERVICE_URL: wired.users.url,
    BILLING_SERVICE_URL: wired.billing.url,
    NOTIFICATION_SERVICE_URL: notifications.url,
    PORT: String(port),
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  };
  const processes = MAINS.map((file) => spawnProduct(file, settings));
  started.push(...processes);
  await Promise.all(processes.map((process) => process.says(/ is up$/)));
  return {
    processes,
    allocate: async (userId, headers = {}) => {
      const token = await signToken({ user: userId, expiresIn: '600' }, { userSecret: USER_SECRET, serviceSecret: SERVICE_SECRET });
      return fetch(`http://127.0.0.1:${port}/scheduler/devices/allocate`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ userId, waitMs: 20_000 }),
      });
    },
    end: () => Promise.all(processes.map((process) => process.end())),
  };
}

/** Until the event was published, use was reported and the user was told. */
async function untilDelivered(userId: string): Promise<void> {
  await eventually(async () => {
    const rows = await wired.store.prisma.$queryRaw<{ channel: string }[]>`
      SELECT channel FROM outbox WHERE payload->>'userId' = ${userId} AND status = 'delivered' ORDER BY channel`;
    expect(rows.map(({ channel }) => channel)).toEqual(['event', 'notice', 'usage']);
  }, 60_000);
}

describe('an allocation with a collector', () => {
  let collector: SpanCollector;
  let product: Product;
  const userId = `traced-${randomUUID()}`;
  const [traceId, callerSpan] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];

  beforeAll(async () => {
    collector = await startSpanCollector();
    product = await startProduct(collector.endpoint);
    const answer = await product.allocate(userId, { traceparent: `00-${traceId}-${callerSpan}-01`, 'x-request-id': 'order-17' });
    expect(answer.status).toBe(201);
    await untilDelivered(userId);
    // Spans that are not sent yet are sent before a process ends.
    expect(await product.end()).toEqual(MAINS.map(() => 0));
  }, 180_000);
  afterAll(() => collector.close());

  /** The one span of the trace with this name. */
  const only = (name: string): ArrivedSpan => {
    const [span, ...more] = collector.of(traceId, name);
    if (span === undefined || more.length > 0) throw new Error(`${name}: ${JSON.stringify(collector.of(traceId).map((one) => one.name))}`);
    return span;
  };
  const parentOf = (span: ArrivedSpan) => collector.spans.find(({ spanId }) => spanId === span.parentSpanId)?.name;

  test('is one trace from the call to the last neighbour, every station after the one that led to it', () => {
    const stations = [
      ['POST /scheduler/devices/allocate', 'server', 'api', undefined],
      ['add allocate.allocate', 'producer', 'api', 'POST /scheduler/devices/allocate'],
      ['process allocate', 'consumer', 'worker-allocation', 'add allocate.allocate'],
      ['decide group', 'internal', 'worker-allocation', 'process allocate'],
      ['postgres transaction', 'client', 'worker-allocation', 'decide group'],
      ['send cloudphone.events', 'producer', 'worker-relay', 'process allocate'],
      ['add delivery.deliver-usage', 'producer', 'worker-relay', 'process allocate'],
      ['process delivery', 'consumer', 'worker-delivery', 'add delivery.deliver-usage'],
      ['POST user-service', 'client', 'worker-delivery', 'process delivery'],
      ['add notice.deliver-notice', 'producer', 'worker-relay', 'process allocate'],
      ['process notice', 'consumer', 'worker-delivery', 'add notice.deliver-notice'],
      ['POST notification-service', 'client', 'worker-delivery', 'process notice'],
    ] as const;
    const arrived = stations.map(([name]) => only(name)).map((span) => [span.name, kindOf(span), span.service, parentOf(span)]);
    expect(arrived).toEqual(stations);
    expect(only('POST /scheduler').parentSpanId).toBe(callerSpan);
    const asked = collector.of(traceId, 'GET ').map((span) => [span.name, span.service, parentOf(span)]);
    expect(asked.toSorted()).toEqual([
      ['GET billing-service', 'worker-allocation', 'process allocate'],
      ['GET user-service', 'worker-allocation', 'process allocate'],
    ]);
  });

  test('is the trace the neighbours and the subscribers were told of', () => {
    const event = events.arrived.find(({ content }) => JSON.parse(content.toString()).userId === userId);
    expect(event?.properties.headers).toMatchObject({
      traceparent: `00-${traceId}-${only('send cloudphone.events').spanId}-01`,
      'x-request-id': 'order-17',
    });
    const told = [
      ...wired.users.control.calls.to('/usage').map((call) => ['POST user-service', call] as const),
      ...notifications.control.calls.to().map((call) => ['POST notification-service', call] as const),
    ].filter(([, { headers }]) => headers['x-request-id'] === 'order-17');
    expect(told.map(([name, { headers }]) => [name, headers['traceparent']])).toEqual([
      ['POST user-service', `00-${traceId}-${only('POST user-service').spanId}-01`],
      ['POST notification-service', `00-${traceId}-${only('POST notification-service').spanId}-01`],
    ]);
  });

  test('says what the conventions ask for, and nothing of a person', () => {
    expect(only('POST /scheduler').attributes).toEqual({
      'http.request.method': 'POST',
      'http.route': '/scheduler/devices/allocate',
      'http.response.status_code': 201,
      'scheduler.request.id': 'order-17',
    });
    expect(only('process allocate').attributes).toMatchObject({
      'messaging.system': 'bullmq',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'allocate',
      'messaging.message.id': expect.any(String),
    });
    expect(only('postgres transaction').attributes).toEqual({ 'db.system.name': 'postgresql' });
    expect(collector.texts.length).toBeGreaterThan(0);
    for (const text of collector.texts) {
      for (const secret of [userId, USER_SECRET, SERVICE_SECRET, '10.9.8.7', 'adbHost', 'Bearer'])
        expect(text.includes(secret)).toBe(false);
    }
  });
});

describe.each([
  ['is away', async () => ({ endpoint: `http://127.0.0.1:${await freePort()}`, close: () => Promise.resolve() })],
  ['refuses', () => startSpanCollector(503)],
] as const)('a collector that %s', (_how, start) => {
  test('changes nothing for an allocation, is said once, and holds up no shutdown', async () => {
    const collector = await start();
    const product = await startProduct(collector.endpoint);
    const users = Array.from({ length: 3 }, () => `away-${randomUUID()}`);
    const answers = await Promise.all(users.map((user) => product.allocate(user)));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
    for (const user of users) await untilDelivered(user);
    await Promise.all(product.processes.map((process) => process.says(/^spans cannot be sent/)));
    expect(await product.end()).toEqual(MAINS.map(() => 0));
    for (const { lines } of product.processes) expect(lines.filter((line) => line.startsWith('spans cannot be sent'))).toHaveLength(1);
    await collector.close();
  }, 180_000);
});

describe('without an endpoint', () => {
  test('nothing is recorded, and what follows a request is what it always was', async () => {
    const product = await startProduct('');
    const userId = `untraced-${randomUUID()}`;
    expect((await product.allocate(userId, { traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01` })).status).toBe(201);
    await untilDelivered(userId);
    expect(await product.end()).toEqual(MAINS.map(() => 0));
    for (const { lines } of product.processes) expect(lines).not.toContain('spans are recorded');
    const rows = await wired.store.prisma.$queryRaw<
      { trace_id: string }[]
    >`SELECT DISTINCT trace_id FROM outbox WHERE payload->>'userId' = ${userId}`;
    expect(rows).toEqual([{ trace_id: 'abababab-abab-abab-abab-abababababab' }]);
  }, 180_000);
});

describe('an event of another service', () => {
  test('and what is done for it are one trace with what led to it', async () => {
    const collector = await startSpanCollector();
    const tracing = openTracing({ name: 'test', endpoint: collector.endpoint, logger: createLogger('test', 'silent') });
    const bench = await openListenerBench(wired);
    // Queues and workers that are opened now record spans.
    const producer = createProducer({
      redis: wired.redis,
      prefix: wired.prefix,
      maxWaitingJobs: 1_000,
      logger: createLogger('test', 'silent'),
    });
    const worker = startAllocation(wired.allocation);
    await bench.start({ producer });
    const [traceId, callerSpan] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
    const order = { sagaId: `saga-${randomUUID()}`, orderId: 'order-1', userId: `orderer-${randomUUID()}` };
    await bench.publish('device.allocate.requested', order, undefined, { traceparent: `00-${traceId}-${callerSpan}-01` });
    await eventually(async () => {
      const rows = await wired.store.prisma.$queryRaw<unknown[]>`SELECT FROM outbox WHERE topic = ${`device.allocate.${order.sagaId}`}`;
      expect(rows).toHaveLength(1);
    }, 20_000);
    await bench.close();
    await worker.close();
    await producer.close();
    await tracing.close();
    const parentOf = ({ parentSpanId }: ArrivedSpan) => collector.spans.find(({ spanId }) => spanId === parentSpanId)?.name;
    const stations = ['process test-', 'add event.event', 'process event', 'add allocate.allocate', 'process allocate', 'decide group'];
    const spans = stations.map((name) => collector.of(traceId, name));
    expect(spans.map((some) => some.length)).toEqual(stations.map(() => 1));
    expect(spans.flat()[0]?.parentSpanId).toBe(callerSpan);
    expect(spans.flat().slice(1).map(parentOf)).toEqual([`process ${bench.queuePrefix}.orders`, ...stations.slice(1, -1)]);
    await collector.close();
  }, 180_000);
});
