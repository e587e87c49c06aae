import { createScript } from '../../queues/redis-script.ts';
import type { Logger } from '../../shared/logger.ts';
import type { RedisClient } from '../../shared/run/redis.ts';

/** Says who may be told how much more. */
export interface NoticeLimit {
  /**
   * Takes room for notices to users.
   *
   * @param wanted  notices by user
   * @returns by user, how many may go now and how long the rest has to wait, ms
   */
  take(wanted: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, Room>>;
}

export interface Room {
  readonly now: number;
  /** Until the next minute begins for this user. */
  readonly waitMs: number;
}

/** Length of a window, ms. */
export const NOTICE_WINDOW_MS = 60_000;

/**
 * Takes from the window of each user, which begins with its first notice. KEYS one a user; ARGV most in a window, its length
 * in ms, then how many are wanted of each. Answers for each how many it may be, and the ms until the window is over.
 */
const TAKE = createScript(`
local most = tonumber(ARGV[1])
local rooms = {}
for i, key in ipairs(KEYS) do
  local used = tonumber(redis.call('GET', key) or '0')
  local now = math.max(0, math.min(tonumber(ARGV[i + 2]), most - used))
  if now > 0 then
    redis.call('INCRBY', key, now)
    if used == 0 then redis.call('PEXPIRE', key, ARGV[2]) end
  end
  rooms[#rooms + 1] = now
  rooms[#rooms + 1] = math.max(0, redis.call('PTTL', key))
end
return rooms`);

/**
 * The limit of notices to one user, shared by all processes. It is a courtesy to people: when Redis gives no answer,
 * nobody is kept waiting for it.
 *
 * @param redis      a connection that fails fast (`producer`)
 * @param perMinute  notices one user is sent in a minute
 */
export function createNoticeLimit(redis: RedisClient, prefix: string, perMinute: number, logger: Logger): NoticeLimit {
  return {
    async take(wanted) {
      const users = [...wanted.keys()];
      if (users.length === 0) return new Map();
      const keys = users.map((user) => `${prefix}:notices:${user}`);
      try {
        const reply = await TAKE.run(redis, keys, [perMinute, NOTICE_WINDOW_MS, ...wanted.values()]);
        const rooms = Array.isArray(reply) ? reply.map(Number) : [];
        return new Map(users.map((user, index) => [user, { now: rooms[2 * index] ?? 0, waitMs: rooms[2 * index + 1] ?? 0 }]));
      } catch (error) {
        logger.warn({ err: error }, 'notices go out without their limit');
        return new Map([...wanted].map(([user, now]) => [user, { now, waitMs: 0 }]));
      }
    },
  };
}
