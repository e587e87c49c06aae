import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import { messageOf, SchedulerError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import type { BatchReader } from './batch-reader.ts';

/** Times in ms. */
export interface CachedOptions<T> {
  readonly redis: Redis | Cluster;
  readonly reader: BatchReader;
  /** Name of the cache in keys, metrics and logs; change it with the shape of the values. */
  readonly name: string;
  /** Start of every key; carries the hash tag. */
  readonly prefix: string;
  /** Life of a value. */
  readonly ttlMs: (value: T) => number;
  /** How long a value is remembered for outages; 0 = not at all. */
  readonly keepMs: (value: T) => number;
  /** How long one process may be fetching before another one tries. */
  readonly fetchMs: number;
  /** Reads back what we wrote ourselves: a cheap look, no full check. `undefined`: not ours, as good as absent. */
  readonly decode: (text: string) => T | undefined;
  readonly metrics: Pick<Metrics, 'neighbourCache'>;
  readonly logger: Logger;
}

/** Brings a value that is not cached within the given time, ms. Must not reject: an outage is a value. */
export type Fetch<T> = (leftMs: number) => Promise<T>;

/** Values by id, fetched once per life of a value over all processes. */
export interface Cached<T> {
  /**
   * The cached value, else the one `fetch` brings; all who ask meanwhile, here or in another process, wait for that one.
   *
   * @param waitMs  longest wait of this caller, ms
   * @returns `undefined` when the wait was over first
   */
  read(id: string, waitMs: number, fetch: Fetch<T>): Promise<T | undefined>;
  /** The last value worth keeping, however old. */
  lastKnown(id: string): Promise<T | undefined>;
  /**
   * Drops the value, `entirely` what is remembered for outages too; one being fetched at the moment is not stored.
   *
   * @throws SchedulerError QUEUE_UNAVAILABLE if Redis is away
   */
  forget(id: string, entirely?: boolean): Promise<void>;
}

/** Stores only while the lock is ours: a value fetched before a `forget` must not come back after it. */
const STORE = `
if redis.call('get', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'PX', ARGV[3])
if tonumber(ARGV[4]) > 0 then redis.call('set', KEYS[3], ARGV[2], 'PX', ARGV[4]) end
redis.call('del', KEYS[2])
return 1`;

/** The value if it came in the meantime, else whether the fetch is ours now (`1`) or another's (`0`). */
const CLAIM = `
local fresh = redis.call('get', KEYS[1])
if fresh then return fresh end
return redis.call('set', KEYS[2], ARGV[1], 'PX', ARGV[2], 'NX') and 1 or 0`;

const POLL_MS = 20;

export function createCached<T>(options: CachedOptions<T>): Cached<T> {
  const { redis, reader, name, decode, logger } = options;
  const keyOf = (kind: 'fresh' | 'lock' | 'last', id: string) => `${options.prefix}:cache:${name}:${kind}:${id}`;
  const count = { hit: counter('hit'), miss: counter('miss'), shared: counter('shared'), error: counter('error') };
  const flights = new Map<string, Promise<T | undefined>>();

  function counter(result: string) {
    return options.metrics.neighbourCache.labels({ cache: name, result });
  }

  async function look(key: string): Promise<T | undefined> {
    const text = await reader.read(key);
    return text === null ? undefined : decode(text);
  }

  /** Redis away is a miss: the neighbour is asked, the request is not refused for the cache's sake. */
  async function orMiss<V>(work: Promise<V>): Promise<V | undefined> {
    try {
      return await work;
    } catch (error) {
      count.error.inc();
      logger.warn({ cache: name, reason: messageOf(error) }, 'cache not reachable');
      return undefined;
    }
  }

  async function fly(id: string, waitMs: number, fetch: Fetch<T>, storing: (stored: Promise<unknown>) => void): Promise<T | undefined> {
    const ends = performance.now() + waitMs;
    const token = randomUUID();
    while (performance.now() < ends) {
      const claim = await orMiss(redis.eval(CLAIM, 2, keyOf('fresh', id), keyOf('lock', id), token, options.fetchMs));
      if (claim === undefined) return fetch(ends - performance.now());
      if (claim === 1) {
        count.miss.inc();
        const fetched = await fetch(ends - performance.now());
        // Whoever asked need not wait until it is stored.
        storing(store(id, token, fetched));
        return fetched;
      }
      const value = typeof claim === 'string' ? await readBack(id, claim) : await awaitOther(id, ends);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** What is stored there, and if it is not ours, out of the way with it. */
  async function readBack(id: string, text: string): Promise<T | undefined> {
    const value = await orMiss(Promise.resolve(text).then(decode));
    if (value === undefined) await orMiss(redis.del(keyOf('fresh', id)));
    return value;
  }

  function store(id: string, token: string, value: T): Promise<unknown> {
    const keys = [keyOf('fresh', id), keyOf('lock', id), keyOf('last', id)];
    const [ttl, keep] = [Math.ceil(options.ttlMs(value)), Math.ceil(options.keepMs(value))];
    return orMiss(redis.eval(STORE, keys.length, ...keys, token, JSON.stringify(value), ttl, keep));
  }

  /** Waits while another process fetches; `undefined` when it gave up or the time is over. */
  async function awaitOther(id: string, ends: number): Promise<T | undefined> {
    while (performance.now() < ends) {
      await pause(POLL_MS);
      const [value, lock] = await Promise.all([orMiss(look(keyOf('fresh', id))), orMiss(reader.read(keyOf('lock', id)))]);
      if (value !== undefined) return value;
      if (lock == null) return undefined;
    }
    return undefined;
  }

  function join(id: string, waitMs: number, fetch: Fetch<T>): Promise<T | undefined> {
    const underWay = flights.get(id);
    if (underWay !== undefined) {
      count.shared.inc();
      return underWay;
    }
    let stored: Promise<unknown> = Promise.resolve();
    const flight = fly(id, waitMs, fetch, (storing) => {
      stored = storing;
    });
    flights.set(id, flight);
    const over = async () => {
      await stored;
      if (flights.get(id) === flight) flights.delete(id);
    };
    void flight.then(over, over);
    return flight;
  }

  return {
    async read(id, waitMs, fetch) {
      const started = performance.now();
      const cached = await orMiss(look(keyOf('fresh', id)));
      if (cached !== undefined) {
        count.hit.inc();
        return cached;
      }
      const left = waitMs - (performance.now() - started);
      return within(left, join(id, left, fetch));
    },
    lastKnown: (id) => orMiss(look(keyOf('last', id))),
    async forget(id, entirely = false) {
      flights.delete(id);
      try {
        await redis.del(keyOf('fresh', id), keyOf('lock', id), ...(entirely ? [keyOf('last', id)] : []));
      } catch (error) {
        throw new SchedulerError('QUEUE_UNAVAILABLE', { cause: error, retryAfter: 1 });
      }
    },
  };
}

async function within<T>(waitMs: number, work: Promise<T | undefined>): Promise<T | undefined> {
  const { promise: over, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, Math.max(0, waitMs), undefined);
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}
