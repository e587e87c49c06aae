import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Queue } from 'bullmq';
import type { NewAllocate } from '../queues/jobs/allocate.ts';
import { QUEUES } from '../queues/names.ts';
import { createProducer } from '../queues/producer.ts';
import { createLogger } from '../shared/logger.ts';
import { closeRedis, createRedis, whenReady } from '../shared/run/redis.ts';
import { connectRedis } from './connect-redis.ts';
import { PREFIX } from './place.ts';
import type { BenchServers } from './scenario.ts';

const TENANTS = 50;
const ASKED = { durationMinutes: 60, queueIfBusy: false, maxWaitMinutes: 30, autoExtend: false };
const AT_ONCE = 1_000;
const POLL_MS = 20;
const READY_MS = 5_000;

/** Requests that wait before workers come. */
export interface Backlog {
  /** Enqueues so many, in their fair order. Workers take none until `release`. @returns their ids, in the order asked */
  fill(jobs: number): Promise<string[]>;
  /** How many wait. */
  waiting(): Promise<number>;
  /** Lets workers take them. */
  release(): Promise<void>;
  /** Resolves when none waits or is worked on. */
  drained(): Promise<void>;
  close(): Promise<void>;
}

/** Requests of so many users, in fifty tenants unless said. */
export function requests(from: number, count: number, users: number, tenants = TENANTS): NewAllocate[] {
  return Array.from({ length: count }, (_, index) => ({
    requestId: randomUUID(),
    caller: 'service:bench',
    source: 'client' as const,
    userId: `user-${(from + index) % users}`,
    tenantId: `tenant-${(from + index) % tenants}`,
    tier: 'standard' as const,
    asked: ASKED,
    acceptedAt: Date.now(),
  }));
}

export async function openBacklog({ redisUrl, redisClusterNodes }: BenchServers, users: number, tenants = TENANTS): Promise<Backlog> {
  const address = { url: redisUrl, clusterNodes: redisClusterNodes };
  const logger = createLogger('bench', 'warn');
  const redis = createRedis('producer', address, logger);
  await whenReady(redis, READY_MS);
  const producer = createProducer({ redis, prefix: PREFIX, maxWaitingJobs: Number.MAX_SAFE_INTEGER, logger });
  const connection = connectRedis(address);
  const queue = new Queue(QUEUES.allocate, { connection, prefix: PREFIX });
  return {
    fill: async (jobs) => {
      await queue.pause();
      const ids: string[] = [];
      for (let from = 0; from < jobs; from += AT_ONCE) {
        const some = requests(from, Math.min(AT_ONCE, jobs - from), users, tenants);
        await producer.allocate(some);
        ids.push(...some.map(({ requestId }) => requestId));
      }
      return ids;
    },
    waiting: () => producer.waiting(),
    release: () => queue.resume(),
    drained: async () => {
      while ((await producer.waiting()) > 0 || (await queue.getActiveCount()) > 0) await pause(POLL_MS);
    },
    close: async () => {
      await queue.close();
      connection.disconnect();
      await producer.close();
      closeRedis(redis);
    },
  };
}
