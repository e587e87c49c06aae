import { createJobCounter } from '../../queues/count-jobs.ts';
import { createProducer } from '../../queues/producer.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';
import { outboxChannel } from '../../shared/run/announce.ts';
import { closeRedis, createRedis, type RedisClient } from '../../shared/run/redis.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { deliveryQueueOf } from '../../workers/relay/delivery-queue.ts';
import { type Relay, type RelayDependencies, startRelay } from '../../workers/relay/start-relay.ts';
import { type EventListener, listenToEvents } from './event-listener.ts';
import { eventually } from './eventually.ts';
import { openRedis, redisAddress } from './open-redis.ts';
import { createTestDatabase } from './postgres.ts';
import { rabbitmqUrl } from './rabbitmq.ts';
import { createTestPrefix } from './redis.ts';

/** A body as it was published by one of the tests. */
export interface ArrivedBody {
  readonly allocationId: string;
  readonly step: number;
  readonly eventId: string;
}

/** A database, a corner of Redis and as many relays as a test wants. */
export interface RelayBench {
  readonly store: Store;
  readonly databaseUrl: string;
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly metrics: Metrics;
  readonly lines: string[];
  startRelay(overrides?: Partial<RelayDependencies>): Promise<Relay>;
  /** Says that something was committed, until a relay has heard it. */
  signal(): Promise<void>;
  listen(pattern: string): Promise<EventListener>;
  /** Bodies that arrived for the allocations of `rows`, in the order of arrival, repeats included. */
  bodiesFor(listener: EventListener, rows: readonly { key: string }[]): ArrivedBody[];
  /** The steps as they arrived, one list an allocation. */
  stepsByKey(bodies: readonly ArrivedBody[]): number[][];
  /** Deletes everything the test has in Redis, as FLUSHALL would. */
  forgetRedis(): Promise<void>;
  close(): Promise<void>;
}

/** Opens everything a test of the relay needs; `close` takes it away again. */
export async function openRelayBench(): Promise<RelayBench> {
  const database = await createTestDatabase();
  const store = createStore({
    databaseUrl: database.url,
    poolSize: 4,
    acquireTimeoutMs: 5_000,
    statementTimeoutMs: 5_000,
    applicationName: 'test',
  });
  const lines: string[] = [];
  const logger = createLogger('test', 'info', { write: (line) => void lines.push(JSON.parse(line).msg) });
  const metrics = createMetrics('test');
  const { prefix, clean } = createTestPrefix();
  const redis = await openRedis('producer');
  const closers: (() => Promise<unknown> | unknown)[] = [];

  return {
    store,
    databaseUrl: database.url,
    redis,
    prefix,
    metrics,
    lines,
    startRelay: async (overrides) => {
      const subscriber = createRedis('subscriber', redisAddress(), logger);
      const producer = createProducer({ redis, prefix, maxWaitingJobs: 1_000, logger });
      const deliveries = deliveryQueueOf(producer, redis, prefix);
      const jobs = createJobCounter(redis, prefix);
      const broker = { url: rabbitmqUrl(), backoff: { baseMs: 20, maxMs: 100 } };
      const relay = await startRelay({ store, deliveries, jobs, subscriber, prefix, logger, metrics, broker, netMs: 50, ...overrides });
      closers.push(() => closeRedis(subscriber), jobs.close, producer.close, relay.close);
      return relay;
    },
    signal: () =>
      eventually(async () => {
        if ((await redis.publish(outboxChannel(prefix), '')) === 0) throw new Error('no relay listens');
      }),
    listen: async (pattern) => {
      const listener = await listenToEvents(pattern);
      closers.push(listener.close);
      return listener;
    },
    bodiesFor: (listener, rows) => {
      const wanted = new Set(rows.map(({ key }) => key));
      const bodies = listener.arrived.map(({ content }): ArrivedBody => JSON.parse(content.toString()));
      return bodies.filter(({ allocationId }) => wanted.has(allocationId));
    },
    stepsByKey: (bodies) =>
      [...Map.groupBy(bodies, ({ allocationId }) => allocationId).values()].map((group) => group.map(({ step }) => step)),
    forgetRedis: clean,
    close: async () => {
      for (const close of closers.reverse()) await close();
      await clean();
      closeRedis(redis);
      await store.close();
      await database.drop();
    },
  };
}
