import type { Caller } from './caller.ts';

/** Callers by their verified token, the longest unused forgotten first. */
export interface TokenCache {
  /** The caller of a token verified before, unless it has expired since. */
  find(token: string): Caller | undefined;
  /** Remembers and returns the caller. @param expiresAt  the `exp` claim, seconds since 1970 */
  keep(token: string, caller: Caller, expiresAt: number | undefined): Caller;
}

/** A token without expiry is verified again after this long. */
const LONGEST_MS = 10 * 60 * 1_000;

/** @param size  most tokens remembered */
export function createTokenCache(size: number, now: () => number = Date.now): TokenCache {
  const entries = new Map<string, { caller: Caller; until: number }>();
  return {
    find(token) {
      const entry = entries.get(token);
      if (entry === undefined) return undefined;
      entries.delete(token);
      if (entry.until <= now()) return undefined;
      entries.set(token, entry);
      return entry.caller;
    },
    keep(token, caller, expiresAt) {
      const longest = now() + LONGEST_MS;
      entries.set(token, { caller, until: expiresAt === undefined ? longest : Math.min(expiresAt * 1_000, longest) });
      for (const oldest of entries.keys()) {
        if (entries.size <= size) break;
        entries.delete(oldest);
      }
      return caller;
    },
  };
}
