import { messageOf } from '../errors.ts';
import type { ConnectionLog, RedisClient } from './redis.ts';

/** Reads of one cache by how they went. */
export interface CacheUse {
  readonly cache: string;
  readonly hits: number;
  readonly misses: number;
}

/** What counts reads; a counter of prom-client fits. */
export interface ReadCounter {
  get(): Promise<{
    readonly values: readonly { readonly labels: Readonly<Record<string, string | number | undefined>>; readonly value: number }[];
  }>;
}

/** Results that asked nobody: found, or had together with whoever asked first. */
const GOOD = new Set(['hit', 'shared']);
const TELL_MS = 5_000;
const MINUTE_MS = 60_000;
/** Minutes that are looked back. */
const WINDOW = 5;
const keyOf = (prefix: string, minute: number) => `${prefix}:cache-use:${minute}`;
const minuteNow = () => Math.floor(Date.now() / MINUTE_MS);

/**
 * Adds the reads a process counted to those of the others, every five seconds, so that the dashboard can say how the whole cluster
 * does. For people only: what gets lost is logged and missed by nobody.
 *
 * @param counters  by the name of the cache, or by the label that names it
 * @returns how to stop; nothing is told after it
 */
export function tellCacheUse(options: {
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly counters: readonly { readonly counter: ReadCounter; readonly name: string | { readonly label: string } }[];
  readonly logger: ConnectionLog;
  readonly everyMs?: number;
}): () => Promise<void> {
  const { redis, prefix, counters, logger, everyMs = TELL_MS } = options;
  let told = new Map<string, number>();
  let telling: Promise<void> = Promise.resolve();

  async function tell(): Promise<void> {
    try {
      const counted = await countAll(counters);
      const news = [...counted].flatMap(([field, value]) =>
        value > (told.get(field) ?? 0) ? [[field, value - (told.get(field) ?? 0)] as const] : [],
      );
      told = counted;
      if (news.length === 0) return;
      const key = keyOf(prefix, minuteNow());
      await Promise.all([...news.map(([field, more]) => redis.hincrby(key, field, more)), redis.pexpire(key, 2 * WINDOW * MINUTE_MS)]);
    } catch (error) {
      logger.warn({ reason: messageOf(error) }, 'the use of the caches could not be told');
    }
  }

  const timer = setInterval(() => {
    telling = telling.then(tell);
  }, everyMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await telling;
  };
}

async function countAll(counters: Parameters<typeof tellCacheUse>[0]['counters']): Promise<Map<string, number>> {
  const counted = new Map<string, number>();
  for (const { counter, name } of counters) {
    for (const { labels, value } of (await counter.get()).values) {
      const cache = typeof name === 'string' ? name : String(labels[name.label]);
      const field = `${cache} ${GOOD.has(String(labels['result'])) ? 'hit' : 'miss'}`;
      counted.set(field, (counted.get(field) ?? 0) + value);
    }
  }
  return counted;
}

/** How the caches did in the last five minutes, over all processes. Throws what Redis reports. */
export async function readCacheUse(redis: RedisClient, prefix: string): Promise<readonly CacheUse[]> {
  const minutes = Array.from({ length: WINDOW }, (_, back) => minuteNow() - back);
  const counts = await Promise.all(minutes.map((minute) => redis.hgetall(keyOf(prefix, minute))));
  const sums = new Map<string, { hits: number; misses: number }>();
  for (const [field, value] of counts.flatMap((count) => Object.entries(count))) {
    const [cache = '', result] = field.split(' ');
    const sum = sums.get(cache) ?? { hits: 0, misses: 0 };
    sum[result === 'hit' ? 'hits' : 'misses'] += Number(value);
    sums.set(cache, sum);
  }
  return [...sums].map(([cache, sum]) => ({ cache, ...sum })).toSorted((a, b) => a.cache.localeCompare(b.cache));
}
