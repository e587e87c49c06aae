import { Queue, Worker } from 'bullmq';
import { KEPT } from '../../shared/run/queue-worker.ts';
import type { RedisAddress } from '../../shared/run/redis.ts';
import { connectRedis } from '../connect-redis.ts';

const QUEUE = 'bare';

/** What BullMQ does when a job does nothing: the same priorities and retention, no database. @returns jobs per second */
export async function measureBareQueue(address: RedisAddress, prefix: string, jobs: number, concurrency: number): Promise<number> {
  const connection = connectRedis(address);
  const queue = new Queue(QUEUE, { connection, prefix });
  await queue.obliterate({ force: true });
  for (let from = 0; from < jobs; from += 1_000) {
    const bulk = Array.from({ length: Math.min(1_000, jobs - from) }, (_, index) => ({
      name: 'no-op',
      data: { number: from + index },
      opts: { priority: 1 + from + index },
    }));
    await queue.addBulk(bulk);
  }
  const workerConnection = connectRedis(address);
  await workerConnection.ping();
  let done = 0;
  const began = performance.now();
  const worker = await new Promise<Worker>((resolve) => {
    const started: Worker = new Worker(QUEUE, async () => 'done', {
      connection: workerConnection,
      prefix,
      concurrency,
      removeOnComplete: KEPT.completed,
    });
    started.on('completed', () => {
      done += 1;
      if (done === jobs) resolve(started);
    });
  });
  const seconds = (performance.now() - began) / 1_000;
  await worker.close();
  await queue.obliterate({ force: true });
  await queue.close();
  for (const client of [connection, workerConnection]) client.disconnect();
  return jobs / seconds;
}
