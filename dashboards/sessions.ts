import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { SchedulerError } from '../shared/errors.ts';
import type { RedisClient } from '../shared/run/redis.ts';
import type { Account } from './accounts.ts';

const HOUR_S = 3_600;

/** A session ends after so long without a request, s. */
export const IDLE_S = HOUR_S;
/** A session ends this long after the login whatever happens, s. */
export const LONGEST_S = 12 * HOUR_S;

const session = z.object({ username: z.string(), role: z.enum(['viewer', 'operator']), until: z.number(), csrf: z.string() });

/** Who is logged in, until when at most (ms since 1970), and what their page says to show that it is ours. */
export type Session = z.output<typeof session>;

/** Sessions, kept in Redis so that any dashboard process knows them. */
export interface Sessions {
  /** Begins a session. The id is always a new one, so an id planted before the login is worth nothing. */
  begin(account: Account): Promise<string>;
  /** The session of an id, its idle time begun anew; undefined when there is none or it has ended. */
  read(id: string): Promise<Session | undefined>;
  end(id: string): Promise<void>;
}

/**
 * Every method throws SchedulerError QUEUE_UNAVAILABLE when Redis does not answer.
 *
 * @param redis   a connection that fails fast
 * @param prefix  of every key
 */
export function createSessions(redis: RedisClient, prefix: string): Sessions {
  // Only a digest is stored: who reads Redis learns no id that would open the dashboard.
  const keyOf = (id: string) => `${prefix}:dashboard:session:${createHash('sha256').update(id).digest('base64url')}`;
  return {
    begin: async ({ username, role }) => {
      const id = randomBytes(32).toString('base64url');
      const begun: Session = { username, role, until: Date.now() + LONGEST_S * 1_000, csrf: randomBytes(32).toString('base64url') };
      await answered(redis.set(keyOf(id), JSON.stringify(begun), 'EX', IDLE_S));
      return id;
    },
    read: async (id) => {
      const stored = await answered(redis.getex(keyOf(id), 'EX', IDLE_S));
      const known = stored === null ? undefined : session.parse(JSON.parse(stored));
      return known !== undefined && known.until > Date.now() ? known : undefined;
    },
    end: async (id) => {
      await answered(redis.del(keyOf(id)));
    },
  };
}

/** Redis's answer, its failure in our words. */
export async function answered<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw new SchedulerError('QUEUE_UNAVAILABLE', { messages: ['Redis cannot be reached at the moment.'], retryAfter: 2, cause: error });
  }
}
