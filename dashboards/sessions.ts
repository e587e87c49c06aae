import { createHash, createHmac, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { SchedulerError } from '../shared/errors.ts';
import type { RedisClient } from '../shared/run/redis.ts';
import type { Account } from './accounts.ts';

const HOUR_S = 3_600;

/** A session ends after so long without a request, s. */
export const IDLE_S = HOUR_S;
/** A session ends this long after the login whatever happens, s. */
export const LONGEST_S = 12 * HOUR_S;

const session = z.object({
  username: z.string(),
  role: z.enum(['viewer', 'operator']),
  until: z.number(),
  csrf: z.string(),
  /** Digest of the account it was begun with. */
  account: z.string(),
});

/** Who is logged in, until when at most (ms since 1970), and what their page says to show that it is ours. */
export type Session = z.output<typeof session>;

/** Sessions, kept in Redis so that any dashboard process knows them. */
export interface Sessions {
  /** Begins a session. The id is always a new one, so an id planted before the login is worth nothing. */
  begin(account: Account): Promise<string>;
  /** The session of an id, its idle time begun anew; undefined when there is none, it has ended, or its account is not what it was. */
  read(id: string): Promise<Session | undefined>;
  /** The same, for whoever asks on their own: the idle time goes on. */
  peek(id: string): Promise<Session | undefined>;
  end(id: string): Promise<void>;
}

/**
 * Every method throws SchedulerError QUEUE_UNAVAILABLE when Redis does not answer.
 *
 * @param redis     a connection that fails fast
 * @param prefix    of every key
 * @param accounts  those that may log in now: sessions of others, or of a former password, have ended
 */
export function createSessions(redis: RedisClient, prefix: string, accounts: readonly Account[]): Sessions {
  // Only a digest is stored: who reads Redis learns no id that would open the dashboard.
  const keyOf = (id: string) => `${prefix}:dashboard:session:${createHash('sha256').update(id).digest('base64url')}`;
  const known = (id: string, stored: string | null): Session | undefined => {
    const read = stored === null ? undefined : session.safeParse(JSON.parse(stored)).data;
    if (read === undefined || read.until <= Date.now()) return undefined;
    return accounts.some((account) => digestOf(account, id) === read.account) ? read : undefined;
  };
  return {
    begin: async (account) => {
      const id = randomBytes(32).toString('base64url');
      const { username, role } = account;
      const csrf = randomBytes(32).toString('base64url');
      const begun: Session = { username, role, until: Date.now() + LONGEST_S * 1_000, csrf, account: digestOf(account, id) };
      await answered(redis.set(keyOf(id), JSON.stringify(begun), 'EX', IDLE_S));
      return id;
    },
    read: async (id) => known(id, await answered(redis.getex(keyOf(id), 'EX', IDLE_S))),
    peek: async (id) => known(id, await answered(redis.get(keyOf(id)))),
    end: async (id) => {
      await answered(redis.del(keyOf(id)));
    },
  };
}

/** Keyed with the id, which Redis does not know: nobody who reads Redis can try passwords against it. */
function digestOf({ username, password, role }: Account, id: string): string {
  return createHmac('sha256', id)
    .update(JSON.stringify([username, role, password]))
    .digest('base64url');
}

/** Redis's answer, its failure in our words. */
export async function answered<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw new SchedulerError('QUEUE_UNAVAILABLE', { messages: ['Redis cannot be reached at the moment.'], retryAfter: 2, cause: error });
  }
}
