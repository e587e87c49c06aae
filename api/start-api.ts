import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { createCapacitySignal } from '../queues/capacity-signal.ts';
import { createProducer } from '../queues/producer.ts';
import { readBreakerBoard } from '../shared/clients/breaker-board.ts';
import type { Logger } from '../shared/logger.ts';
import type { Metrics } from '../shared/metrics.ts';
import { announce } from '../shared/run/announce.ts';
import { tellCacheUse } from '../shared/run/cache-use.ts';
import { createOutcomeListener } from '../shared/run/completion.ts';
import type { Life } from '../shared/run/process.ts';
import { closeRedis, createRedis, type RedisAddress, whenReady } from '../shared/run/redis.ts';
import { endInBatches } from '../shared/store/end-in-batches.ts';
import { expireDue } from '../shared/store/expire.ts';
import { pingStore } from '../shared/store/ping.ts';
import { createStore, type StoreOptions } from '../shared/store/store.ts';
import { somebodyWaits, unpark } from '../shared/store/unpark.ts';
import { createAvailableCache } from './available-cache.ts';
import type { ServerOptions } from './deps.ts';
import { keepListening } from './keep-listening.ts';
import { probeBroker, probeRedis } from './probes.ts';
import { buildServer } from './server.ts';

/** What the API process needs to know, as plain values. */
export interface ApiOptions extends ServerOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly store: StoreOptions;
  readonly redis: RedisAddress;
  /** Empty: events are off. */
  readonly rabbitmqUrl: string;
  readonly availableCacheTtlS: number;
  readonly cleaningSeconds: number;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

const REDIS_READY_MS = 10_000;
const CLOSE_MS = 1_000;

/**
 * Opens everything the API stands on, in the order it is needed, and listens.
 *
 * @returns the port it listens on
 * @throws SchedulerError QUEUE_UNAVAILABLE when Redis is not there at the start
 */
export async function startApi(life: Life, options: ApiOptions): Promise<{ port: number }> {
  const { logger, metrics, prefix } = options;
  const store = createStore(options.store);
  life.onClose('store', store.close);
  const cache = createRedis('cache', options.redis, logger);
  life.onClose('redis cache', () => closeRedis(cache));
  const queueRedis = createRedis('producer', options.redis, logger);
  life.onClose('redis producer', () => closeRedis(queueRedis));
  const subscriber = createRedis('subscriber', options.redis, logger);
  life.onClose('redis subscriber', () => closeRedis(subscriber));
  await Promise.all([whenReady(cache, REDIS_READY_MS), whenReady(queueRedis, REDIS_READY_MS), whenReady(subscriber, REDIS_READY_MS)]);

  const instance = randomUUID();
  const outcomes = await createOutcomeListener(subscriber, prefix, instance, logger);
  life.onClose('outcomes', outcomes.close);
  const producer = createProducer({ redis: queueRedis, prefix, maxWaitingJobs: options.maxWaitingJobs, logger });
  life.onClose('producer', () => atMost(CLOSE_MS, producer.close()));

  const capacity = createCapacitySignal({
    redis: queueRedis,
    prefix,
    waits: () => somebodyWaits(store),
    unpark: (users, allocations) => unpark(store, users, allocations),
    logger,
  });
  life.onClose('capacity signal', () => atMost(CLOSE_MS, capacity.close()));

  const counters = [{ counter: metrics.availableCache, name: 'available' }];
  life.onClose('cache use', tellCacheUse({ redis: cache, prefix, counters, logger }));

  const server = await buildServer({
    store,
    redis: cache,
    producer,
    outcomes,
    instance,
    capacity,
    available: createAvailableCache({ redis: cache, prefix, ttlSeconds: options.availableCacheTtlS, metrics, logger }),
    releaseExpired: async () => {
      const ending = { cleaningSeconds: options.cleaningSeconds };
      const { ended } = await endInBatches(store, {
        next: (limit) => expireDue(store, limit, ending),
        onEnded: (some) =>
          capacity.changed({ devices: some.map(({ deviceId }) => deviceId), allocations: some.map(({ allocationId }) => allocationId) }),
      });
      if (ended > 0) await announce(cache, prefix, { availability: true, outbox: true, outcomes: [] }, logger);
      metrics.allocationsEnded.inc({ reason: 'expired' }, ended);
      return ended;
    },
    probes: {
      postgres: () => pingStore(store),
      redis: probeRedis(cache),
      queue: () => producer.waiting(),
      rabbitmq: options.rabbitmqUrl === '' ? undefined : probeBroker(options.rabbitmqUrl),
      neighbours: () => readBreakerBoard(cache, prefix),
    },
    metrics,
    logger,
    options,
  });
  life.onClose('http server', () => server.close());
  await server.listen({ host: options.host, port: options.port });
  life.onClose('listening', await keepListening(store, logger));
  return { port: (server.server.address() as AddressInfo).port };
}

/** Closing politely takes an answer from Redis; when Redis has just gone there is none, and the connection is cut anyway. */
async function atMost(ms: number, closing: Promise<void>): Promise<void> {
  const late = new AbortController();
  await Promise.race([closing, pause(ms, undefined, { signal: late.signal })]);
  late.abort();
}
