import { memoryUse, type RedisClient } from '../shared/run/redis.ts';

/** Share of Redis' memory above which nothing new is taken: a full Redis cannot even be drained. */
export const FULL = 0.7;
const LOOK_MS = 2_000;

/** Knows how full Redis was a moment ago. */
export interface MemoryGuard {
  /** Share in use, 0..1, at most some seconds old; 0 until it was first looked at. Never waits. */
  use(): number;
}

/**
 * Looks at the memory of Redis in the background, at most every two seconds and only while somebody asks.
 *
 * @param onError  told when Redis could not be asked; what was known last stays
 */
export function createMemoryGuard(redis: RedisClient, onError: (error: unknown) => void): MemoryGuard {
  let known = 0;
  let lookedAt = Number.NEGATIVE_INFINITY;

  async function look(): Promise<void> {
    try {
      known = await memoryUse(redis);
    } catch (error) {
      onError(error);
    }
  }

  return {
    use: () => {
      const now = performance.now();
      if (now - lookedAt > LOOK_MS) {
        lookedAt = now;
        void look();
      }
      return known;
    },
  };
}
