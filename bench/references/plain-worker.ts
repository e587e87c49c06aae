import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import type { RedisAddress } from '../../shared/run/redis.ts';
import { createStore, type Transaction } from '../../shared/store/store.ts';
import { assertComplete } from '../complete.ts';
import { connectRedis } from '../connect-redis.ts';

const QUEUE = 'plain';
const POOL = 10;
const CONCURRENCY = POOL;
const MOST_DEVICES = 1_000;

interface PlainJob {
  readonly requestId: string;
  readonly userId: string;
}

/**
 * The worker one would write first: a job, an interactive Prisma transaction with the calls of its client, the same rows
 * in the end. @returns jobs per second
 */
export async function measurePlainWorker(
  databaseUrl: string,
  address: RedisAddress,
  prefix: string,
  jobs: number,
  users: number,
): Promise<number> {
  const store = createStore({ databaseUrl, poolSize: POOL, acquireTimeoutMs: 30_000, statementTimeoutMs: 8_000, applicationName: 'bench' });
  const connections = [connectRedis(address), connectRedis(address)] as const;
  const queue = new Queue<PlainJob>(QUEUE, { connection: connections[0], prefix });
  await queue.addBulk(
    Array.from({ length: jobs }, (_, index) => ({
      name: 'allocate',
      data: { requestId: randomUUID(), userId: `user-${index % users}` },
      opts: { priority: 1 + index, attempts: 5 },
    })),
  );
  let done = 0;
  const began = performance.now();
  const worker = await new Promise<Worker>((resolve, reject) => {
    const work = ({ data }: { data: PlainJob }) => store.prisma.$transaction((tx) => grant(tx, data));
    const started: Worker = new Worker<PlainJob>(QUEUE, work, { connection: connections[1], prefix, concurrency: CONCURRENCY });
    started.on('completed', () => {
      done += 1;
      if (done === jobs) resolve(started);
    });
    started.on('failed', (job, error) => {
      if (job === undefined || job.attemptsMade >= 5) reject(error);
    });
  });
  const seconds = (performance.now() - began) / 1_000;
  await assertComplete(store, jobs);
  await worker.close();
  await queue.close();
  for (const connection of connections) connection.disconnect();
  await store.close();
  return jobs / seconds;
}

async function grant(tx: Transaction, { requestId, userId }: PlainJob): Promise<string> {
  await tx.user.upsert({ where: { id: userId }, create: { id: userId, limits: { maxDevices: MOST_DEVICES } }, update: {} });
  const held = await tx.allocation.count({ where: { userId, status: 'allocated' } });
  if (held >= MOST_DEVICES) throw new Error('the quota is used up');
  const [free] = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM devices WHERE status = 'running' AND allocation_id IS NULL AND NOT draining AND cleaning_until IS NULL
    ORDER BY resource_score DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED`;
  if (free === undefined) throw new Error('no device is free');
  const allocationId = randomUUID();
  const device = await tx.device.update({ where: { id: free.id }, data: { allocationId, fence: { increment: 1 } } });
  const now = new Date();
  await tx.allocation.create({
    data: {
      id: allocationId,
      requestId,
      deviceId: device.id,
      deviceName: device.name,
      userId,
      tier: 'standard',
      fence: device.fence,
      strategy: 'resource_based',
      durationMinutes: 60,
      cpuCores: device.cpuCores,
      memoryMb: device.memoryMb,
      storageMb: device.storageMb,
      allocatedAt: now,
      expiresAt: new Date(now.getTime() + 3_600_000),
    },
  });
  const asked = { durationMinutes: 60 };
  await tx.request.create({
    data: {
      id: requestId,
      caller: 'bench',
      source: 'client',
      userId,
      tier: 'standard',
      status: 'granted',
      asked,
      allocationId,
      decidedAt: now,
    },
  });
  const payload = { allocationId, deviceId: device.id, userId };
  await tx.outboxEntry.createMany({
    data: [
      { channel: 'event', topic: 'device.allocated', key: allocationId, payload },
      { channel: 'usage', topic: 'increment', key: allocationId, payload },
    ],
  });
  return allocationId;
}
