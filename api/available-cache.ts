import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../shared/logger.ts';
import type { Metrics } from '../shared/metrics.ts';
import { availableEpochKey } from '../shared/run/announce.ts';
import type { RedisClient } from '../shared/run/redis.ts';

/**
 * Lists of available devices, kept in Redis as the text that is sent.
 *
 * Every change of availability counts the epoch up; a list is good while its epoch is the current one. Whoever finds an
 * old list loads a new one, alone in the whole cluster: the others wait for it. A list carries a small budget of loads
 * with it (one every 25 ms, saved up to 40): a fleet that changes hundreds of times a second is read from lists at most
 * 25 ms old instead of loading after every change.
 */
export interface AvailableCache {
  /** @returns the text, and whether it came from the cache (others waited for count as cached) */
  read(key: string, load: () => Promise<string>): Promise<{ text: string; hit: boolean }>;
  /** Makes every list old. Never throws: lists also age by themselves. */
  evict(): Promise<void>;
}

interface CachedList {
  readonly epoch: number;
  readonly loadedAt: number;
  readonly budget: number;
  readonly text: string;
}

interface Look {
  readonly epoch: number;
  readonly list: CachedList | undefined;
}

const LOADS_SAVED = 40;
const LOAD_EVERY_MS = 25;
const LOCK_MS = 3_000;
const WAIT_FOR_OTHERS_MS = 1_500;
const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 20;

const UNLOCK = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

/** @param ttlSeconds  life of a list that nothing evicts */
export function createAvailableCache(options: {
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly ttlSeconds: number;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}): AvailableCache {
  const { redis, prefix, ttlSeconds, metrics, logger, now = Date.now } = options;
  const epochKey = availableEpochKey(prefix);
  const listKey = (key: string) => `${prefix}:available:list:${key}`;
  const loading = new Map<string, { epoch: number; text: Promise<string> }>();
  const look = createLooker(redis, epochKey);

  async function read(key: string, load: () => Promise<string>): Promise<{ text: string; hit: boolean }> {
    const answer = await readThrough(key, load);
    metrics.availableCache.inc({ result: answer.hit ? 'hit' : 'miss' });
    return answer;
  }

  async function readThrough(key: string, load: () => Promise<string>): Promise<{ text: string; hit: boolean }> {
    const seen = await lookSafely(listKey(key));
    if (seen?.list !== undefined && isGood(seen, now())) return { text: seen.list.text, hit: true };
    const epoch = seen?.epoch ?? 0;
    const running = loading.get(key);
    if (running !== undefined && running.epoch >= epoch) return { text: await running.text, hit: true };
    return loadOnce(key, epoch, seen, load);
  }

  async function loadOnce(
    key: string,
    epoch: number,
    seen: Look | undefined,
    load: () => Promise<string>,
  ): Promise<{ text: string; hit: boolean }> {
    let hit = false;
    const text = (async () => {
      const shared = seen === undefined ? undefined : await othersList(key, epoch);
      if (typeof shared === 'string') {
        hit = true;
        return shared;
      }
      return loadAndKeep(key, epoch, seen?.list, shared, load);
    })();
    const flight = { epoch, text };
    loading.set(key, flight);
    try {
      return { text: await text, hit };
    } finally {
      if (loading.get(key) === flight) loading.delete(key);
    }
  }

  /** The list another process loads meanwhile; or the lock under which it is ours to load; or nothing: load without one. */
  async function othersList(key: string, epoch: number): Promise<string | { lock: string } | undefined> {
    const token = randomUUID();
    const until = Date.now() + WAIT_FOR_OTHERS_MS;
    try {
      for (let wait = FIRST_PAUSE_MS; Date.now() < until; wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) {
        const locked = await redis.set(`${listKey(key)}:lock`, token, 'PX', LOCK_MS, 'NX');
        const { list } = await look(listKey(key));
        const fresh = list !== undefined && list.epoch >= epoch;
        if (fresh && locked === 'OK') await unlock(key, token);
        if (fresh) return list.text;
        if (locked === 'OK') return { lock: token };
        await pause(wait);
      }
    } catch (error) {
      logger.warn({ err: error }, 'the available list is loaded without a lock');
    }
    return undefined;
  }

  async function loadAndKeep(
    key: string,
    epoch: number,
    old: CachedList | undefined,
    held: { lock: string } | undefined,
    load: () => Promise<string>,
  ): Promise<string> {
    try {
      const text = await load();
      if (held !== undefined) await keep(key, { epoch, loadedAt: now(), budget: budgetOf(old, now()) - 1, text });
      return text;
    } finally {
      if (held !== undefined) await unlock(key, held.lock);
    }
  }

  async function keep(key: string, list: CachedList): Promise<void> {
    try {
      await redis.set(listKey(key), `${list.epoch} ${list.loadedAt} ${list.budget.toFixed(2)}\n${list.text}`, 'EX', ttlSeconds);
    } catch (error) {
      logger.warn({ err: error }, 'the available list could not be cached');
    }
  }

  async function unlock(key: string, token: string): Promise<void> {
    try {
      await redis.eval(UNLOCK, 1, `${listKey(key)}:lock`, token);
    } catch (error) {
      logger.warn({ err: error }, 'the lock of the available list runs out by itself');
    }
  }

  async function lookSafely(key: string): Promise<Look | undefined> {
    try {
      return await look(key);
    } catch (error) {
      logger.warn({ err: error }, 'the cache cannot be read, the available list comes from the database');
      return undefined;
    }
  }

  async function evict(): Promise<void> {
    try {
      await redis.incr(epochKey);
    } catch (error) {
      logger.warn({ err: error }, 'the available lists could not be evicted and age by themselves');
    }
  }

  return { read, evict };
}

/** Reads lists with the epoch; all that are asked for in one turn of the event loop come with one command. */
function createLooker(redis: RedisClient, epochKey: string): (key: string) => Promise<Look> {
  let batch: { keys: Map<string, number>; answer: Promise<(string | null)[]> } | undefined;
  return async (key) => {
    batch ??= open();
    const index = batch.keys.get(key) ?? batch.keys.size + 1;
    batch.keys.set(key, index);
    const values = await batch.answer;
    return { epoch: Number(values[0] ?? 0), list: parseList(values[index] ?? null) };
  };

  function open() {
    const keys = new Map<string, number>();
    const answer = new Promise<(string | null)[]>((resolve, reject) => {
      setImmediate(() => {
        batch = undefined;
        redis.mget(epochKey, ...keys.keys()).then(resolve, reject);
      });
    });
    return { keys, answer };
  }
}

function isGood({ epoch, list }: Look, now: number): boolean {
  return list !== undefined && (list.epoch === epoch || budgetOf(list, now) < 1);
}

function budgetOf(list: CachedList | undefined, now: number): number {
  if (list === undefined) return LOADS_SAVED;
  const saved = Math.max(0, now - list.loadedAt) / LOAD_EVERY_MS;
  return Math.min(LOADS_SAVED, list.budget + saved);
}

function parseList(value: string | null): CachedList | undefined {
  if (value === null) return undefined;
  const end = value.indexOf('\n');
  const [epoch, loadedAt, budget] = value.slice(0, end).split(' ').map(Number);
  if (epoch === undefined || loadedAt === undefined || budget === undefined) return undefined;
  return { epoch, loadedAt, budget, text: value.slice(end + 1) };
}
