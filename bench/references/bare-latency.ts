import { Queue, QueueEvents, Worker } from 'bullmq';
import type { RedisAddress } from '../../shared/run/redis.ts';
import { connectRedis } from '../connect-redis.ts';
import { openLoop } from '../open-loop.ts';

const QUEUE = 'bare-latency';
const LONGEST_MS = 10_000;

/** From `add` to the result of a job that does nothing, at a steady rate, all in one process. @returns ms of each job */
export async function measureBareLatency(address: RedisAddress, prefix: string, perSecond: number, jobs: number): Promise<number[]> {
  const [adding, listening, working] = [connectRedis(address), connectRedis(address), connectRedis(address)];
  const queue = new Queue(QUEUE, { connection: adding, prefix });
  const events = new QueueEvents(QUEUE, { connection: listening, prefix });
  // Every job that is waited for listens, hundreds at a time.
  for (const emitter of [queue, events]) emitter.setMaxListeners(0);
  const worker = new Worker(QUEUE, async () => 'done', { connection: working, prefix, concurrency: 50 });
  await Promise.all([events.waitUntilReady(), worker.waitUntilReady()]);
  const times = await openLoop(perSecond, jobs, async (number) => {
    const job = await queue.add('no-op', { number }, { priority: 1 + number });
    await job.waitUntilFinished(events, LONGEST_MS);
  });
  await worker.close();
  await events.close();
  await queue.obliterate({ force: true });
  await queue.close();
  for (const client of [adding, listening, working]) client.disconnect();
  return times;
}
