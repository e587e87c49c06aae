import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';

/** The Redis the tests use. */
export function redisUrl(): string {
  return process.env['REDIS_URL'] ?? '';
}

/** A corner of Redis for one test (or one file): its `QUEUE_PREFIX`. */
export interface TestPrefix {
  readonly prefix: string;
  /** Deletes every key under the prefix. */
  clean(): Promise<void>;
}

/** Makes up a prefix nobody else has. */
export function createTestPrefix(): TestPrefix {
  const prefix = `{test-${randomUUID()}}`;
  return { prefix, clean: () => deleteKeys(`${prefix}*`) };
}

async function deleteKeys(pattern: string): Promise<void> {
  const redis = new Redis(redisUrl(), { maxRetriesPerRequest: 1 });
  try {
    for await (const keys of redis.scanStream({ match: pattern, count: 1_000 })) if (keys.length > 0) await redis.unlink(...keys);
  } finally {
    redis.disconnect();
  }
}
