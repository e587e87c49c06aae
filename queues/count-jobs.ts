import { Queue } from 'bullmq';
import type { Cluster, Redis } from 'ioredis';
import { QUEUES, type QueueName } from './names.ts';

/** States of a job that somebody wants to see counted. `waiting`: those with a priority too. */
export const JOB_STATES = ['waiting', 'active', 'delayed', 'failed'] as const;

export type JobState = (typeof JOB_STATES)[number];

/** How many jobs of each state a queue has. */
export interface JobCount {
  readonly queue: QueueName;
  readonly counts: Readonly<Record<JobState, number>>;
}

/** Counts the jobs of every queue. */
export interface JobCounter {
  /** @throws what Redis says when it does not answer */
  count(): Promise<readonly JobCount[]>;
  close(): Promise<void>;
}

/** @param redis  a connection that fails fast; the caller closes it */
export function createJobCounter(redis: Redis | Cluster, prefix: string): JobCounter {
  const queues = Object.values(QUEUES).map((name) => ({
    name,
    queue: new Queue(name, { connection: redis, prefix, skipMetasUpdate: true, skipWaitingForReady: true }),
  }));
  return {
    count: () => Promise.all(queues.map(async ({ name, queue }) => ({ queue: name, counts: await countOf(queue) }))),
    close: async () => {
      await Promise.all(queues.map(({ queue }) => queue.close()));
    },
  };
}

async function countOf(queue: Queue): Promise<JobCount['counts']> {
  const counts = await queue.getJobCounts('wait', 'prioritized', 'active', 'delayed', 'failed');
  const of = (state: string) => counts[state] ?? 0;
  return { waiting: of('wait') + of('prioritized'), active: of('active'), delayed: of('delayed'), failed: of('failed') };
}
