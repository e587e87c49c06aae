import type { RedisClient } from '../shared/run/redis.ts';
import { answered } from './sessions.ts';

/** Failed logins one address may make within the window. */
export const MOST_FAILURES = 10;
/** Length of the window, s. It begins with the first failure. */
export const WINDOW_S = 300;

/** Counts failed logins per address in Redis, so that several dashboards together allow no more than one. */
export interface LoginLimit {
  /**
   * Counts an attempt before it is looked at, so that guesses sent at once are counted as well.
   *
   * @returns seconds to wait, or 0 when it may go on
   */
  take(address: string): Promise<number>;
  /** Takes a successful attempt back. */
  giveBack(address: string): Promise<void>;
}

/** Both methods throw SchedulerError QUEUE_UNAVAILABLE when Redis does not answer. */
export function createLoginLimit(redis: RedisClient, prefix: string): LoginLimit {
  const keyOf = (address: string) => `${prefix}:dashboard:login:${address}`;
  return {
    take: async (address) => {
      const key = keyOf(address);
      // SET NX first: a counter without an end can never come into being, wherever the process dies.
      const [, count, left] = (await answered(redis.multi().set(key, 0, 'EX', WINDOW_S, 'NX').incr(key).ttl(key).exec())) ?? [];
      return Number(count?.[1] ?? 0) > MOST_FAILURES ? Math.max(1, Number(left?.[1] ?? WINDOW_S)) : 0;
    },
    giveBack: async (address) => {
      const key = keyOf(address);
      // SET NX here too: if the window has ended meanwhile, a bare DECR would begin a counter without an end.
      await answered(redis.multi().set(key, 0, 'EX', WINDOW_S, 'NX').decr(key).exec());
    },
  };
}
