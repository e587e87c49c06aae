import { randomUUID } from 'node:crypto';
import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { RedisClient } from './redis.ts';

/**
 * Redis locks that save work, nothing more: two workers that would fight over the same rows in Postgres learn it earlier
 * and cheaper here. Correctness is Postgres's (constraints, row locks, fences), so a lost lock costs a retry, and a Redis
 * that cannot be asked counts as "go on".
 */
export interface Lease {
  /** The keys this lease holds: those of the asked ones that nobody else held. */
  readonly held: ReadonlySet<string>;
  /** False when Redis could not be asked: `held` then has every key, unguarded. */
  readonly guarded: boolean;
  /** Aborted when a key expired or was taken over before `release`. */
  readonly lost: AbortSignal;
  /** Gives the keys back; those lost in the meantime are left to their new holder. */
  release(): Promise<void>;
}

export interface Locks {
  /** Takes what is free of `keys`, in one round trip. Never waits for a holder, never throws. */
  acquire(keys: readonly string[]): Promise<Lease>;
}

export interface LocksOptions {
  /** Life of a lock without renewal, ms; it is renewed every third of it. */
  readonly ttlMs: number;
  /** Starts with a hash tag, so that all keys live on one node of a cluster. */
  readonly prefix: string;
  readonly logger: Logger;
}

const ACQUIRE = `
local held = {}
for i, key in ipairs(KEYS) do
  if redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2]) then held[#held + 1] = i end
end
return held`;

const RENEW = `
local kept = 0
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then kept = kept + redis.call('PEXPIRE', key, ARGV[2]) end
end
return kept`;

const RELEASE = `
local freed = 0
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then freed = freed + redis.call('DEL', key) end
end
return freed`;

/** @param redis  a connection that fails fast (`cache` or `producer`) */
export function createLocks(redis: RedisClient, { ttlMs, prefix, logger }: LocksOptions): Locks {
  const nameOf = (key: string) => `${prefix}:lock:${key}`;

  async function acquire(keys: readonly string[]): Promise<Lease> {
    const wanted = [...new Set(keys)];
    if (wanted.length === 0) return freeLease(wanted, true);
    const token = randomUUID();
    try {
      const indexes = numbers(await redis.eval(ACQUIRE, wanted.length, ...wanted.map(nameOf), token, ttlMs));
      return keep(
        wanted.filter((_key, index) => indexes.includes(index + 1)),
        token,
      );
    } catch (error) {
      logger.warn({ err: error }, 'locks cannot be taken; going on without');
      return freeLease(wanted, false);
    }
  }

  function keep(held: readonly string[], token: string): Lease {
    const lost = new AbortController();
    const names = held.map(nameOf);
    const timer = setInterval(() => void renew(), ttlMs / 3);
    timer.unref();

    async function renew(): Promise<void> {
      try {
        const kept = await redis.eval(RENEW, names.length, ...names, token, ttlMs);
        if (kept !== names.length) lose(`${names.length - Number(kept)} of ${names.length} locks were lost`);
      } catch (error) {
        lose(`locks could not be renewed: ${messageOf(error)}`);
      }
    }

    function lose(reason: string): void {
      clearInterval(timer);
      lost.abort(new Error(reason));
    }

    async function release(): Promise<void> {
      clearInterval(timer);
      if (names.length === 0) return;
      try {
        await redis.eval(RELEASE, names.length, ...names, token);
      } catch (error) {
        logger.warn({ err: error }, 'locks could not be given back; they expire');
      }
    }

    if (names.length === 0) clearInterval(timer);
    return { held: new Set(held), guarded: true, lost: lost.signal, release };
  }

  return { acquire };
}

function freeLease(keys: readonly string[], guarded: boolean): Lease {
  return { held: new Set(keys), guarded, lost: new AbortController().signal, release: () => Promise.resolve() };
}

function numbers(reply: unknown): number[] {
  return Array.isArray(reply) ? reply.map(Number) : [];
}
