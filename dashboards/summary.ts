import type { Queue } from 'bullmq';
import { answered } from './sessions.ts';

/** One queue at a glance. */
export interface QueueSummary {
  readonly name: string;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
  readonly completed: number;
  readonly paused: boolean;
}

/** @throws SchedulerError QUEUE_UNAVAILABLE when Redis does not answer */
export function summarise(queues: readonly Queue[]): Promise<QueueSummary[]> {
  return answered(Promise.all(queues.map(summariseOne)));
}

async function summariseOne(queue: Queue): Promise<QueueSummary> {
  const [counts, paused] = await Promise.all([
    queue.getJobCounts('wait', 'prioritized', 'active', 'delayed', 'failed', 'completed'),
    queue.isPaused(),
  ]);
  const count = (state: string) => counts[state] ?? 0;
  return {
    name: queue.name,
    waiting: count('wait') + count('prioritized'),
    active: count('active'),
    delayed: count('delayed'),
    failed: count('failed'),
    completed: count('completed'),
    paused,
  };
}
