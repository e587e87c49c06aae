import { createHash } from 'node:crypto';
import type { FastifyRateLimitStoreCtor } from '@fastify/rate-limit';
import type { Cluster, Redis } from 'ioredis';
import { messageOf } from '../shared/errors.ts';
import type { Logger } from '../shared/logger.ts';

/** Counts each key up by its own amount and starts its window if none runs. One call for any number of keys. */
const SCRIPT = `
local answer = {}
for i, key in ipairs(KEYS) do
  local count = redis.call('INCRBY', key, ARGV[i + 1])
  local left = redis.call('PTTL', key)
  if left < 0 then
    left = tonumber(ARGV[1])
    redis.call('PEXPIRE', key, left)
  end
  answer[2 * i - 1] = count
  answer[2 * i] = left
end
return answer`;
const SCRIPT_SHA = createHash('sha1').update(SCRIPT).digest('hex');

/** After a failure counting is left out for this long, so that a Redis that hangs does not slow every request. */
const PAUSE_MS = 1_000;

type Callback = (error: Error | null, result?: { current: number; ttl: number }) => void;

/**
 * The counters of `@fastify/rate-limit`, in Redis, shared by every process.
 *
 * Whatever is counted in one turn of the event loop goes to Redis in one command: under load the cost of counting is
 * spread over many requests, and it is one short round trip otherwise.
 */
export function createRateLimitStore(redis: Redis | Cluster, prefix: string, logger: Logger): FastifyRateLimitStoreCtor {
  let waiting = new Map<string, Callback[]>();
  let windowMs = 60_000;
  let pausedUntil = 0;

  async function count(batch: Map<string, Callback[]>): Promise<void> {
    try {
      const keys = [...batch.keys()];
      const args = [...keys.map((key) => `${prefix}:rate:${key}`), windowMs, ...keys.map((key) => batch.get(key)?.length ?? 0)];
      answer(batch, await run(keys.length, args));
    } catch (error) {
      pausedUntil = Date.now() + PAUSE_MS;
      logger.warn({ err: error }, 'rate limits cannot be counted, requests pass');
      fail(batch, error instanceof Error ? error : new Error(messageOf(error)));
    }
  }

  async function run(keys: number, args: (string | number)[]): Promise<number[]> {
    try {
      return (await redis.evalsha(SCRIPT_SHA, keys, ...args)) as number[];
    } catch (error) {
      if (!messageOf(error).startsWith('NOSCRIPT')) throw error;
      return (await redis.eval(SCRIPT, keys, ...args)) as number[];
    }
  }

  function flush(): void {
    const batch = waiting;
    waiting = new Map();
    void count(batch);
  }

  return class {
    incr(key: string, callback: Callback, timeWindow: number): void {
      if (Date.now() < pausedUntil) {
        callback(new Error('Redis did not answer a moment ago'));
        return;
      }
      windowMs = timeWindow;
      if (waiting.size === 0) setImmediate(flush);
      const same = waiting.get(key);
      if (same === undefined) waiting.set(key, [callback]);
      else same.push(callback);
    }

    child() {
      return this;
    }
  };
}

/** Each caller of a key counts as one: the last of n sees the count that Redis returned. */
function answer(batch: Map<string, Callback[]>, numbers: readonly number[]): void {
  let index = 0;
  for (const callbacks of batch.values()) {
    const counted = numbers[index] ?? 0;
    const ttl = numbers[index + 1] ?? 0;
    index += 2;
    for (const [place, callback] of callbacks.entries()) callback(null, { current: counted - callbacks.length + place + 1, ttl });
  }
}

function fail(batch: Map<string, Callback[]>, error: Error): void {
  for (const callbacks of batch.values()) for (const callback of callbacks) callback(error);
}
