import { Queue } from 'bullmq';
import { eventually } from './eventually.ts';
import { redisUrl } from './redis.ts';

/**
 * Runs a finished job of a queue a second time, as happens to one whose worker dies after its commit or that stalls.
 *
 * @returns what the second run answered
 */
export async function runAgain(prefix: string, queueName: string, jobId: string): Promise<unknown> {
  const queue = new Queue(queueName, { connection: { url: redisUrl() }, prefix });
  try {
    const read = async () => {
      const job = await queue.getJob(jobId);
      if (job === undefined || !(await job.isCompleted())) throw new Error(`job ${jobId} has not finished`);
      return job;
    };
    const first = await eventually(read);
    await first.retry('completed');
    return await eventually(async () => {
      const again = await read();
      if (again.attemptsStarted <= first.attemptsStarted) throw new Error(`job ${jobId} has not run again`);
      return again.returnvalue;
    });
  } finally {
    await queue.close();
  }
}

/** Forgets a finished job, as Redis does after a while. */
export async function forgetJob(prefix: string, queueName: string, jobId: string): Promise<void> {
  const queue = new Queue(queueName, { connection: { url: redisUrl() }, prefix });
  try {
    await eventually(async () => {
      const job = await queue.getJob(jobId);
      if (job === undefined || !(await job.isCompleted())) throw new Error(`job ${jobId} has not finished`);
      await job.remove();
    });
  } finally {
    await queue.close();
  }
}

/** Ids of the jobs of a queue that have finished, the latest first. */
export async function finishedJobs(prefix: string, queueName: string): Promise<string[]> {
  const queue = new Queue(queueName, { connection: { url: redisUrl() }, prefix });
  try {
    return (await queue.getCompleted()).flatMap(({ id }) => id ?? []);
  } finally {
    await queue.close();
  }
}
