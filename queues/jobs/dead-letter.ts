import { z } from 'zod';
import type { JobOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';

/** Name of the job that stands for a dead letter, so that it is seen among the failed ones and can be retried there. */
export const DEAD_LETTER = 'dead-letter';

/** A dead letter: its id, what it was, and what its last attempt was answered. */
export const deadLetterPayload = z.object({
  id: z.guid(),
  kind: z.enum(['billing', 'usage', 'notification', 'event']),
  reason: z.string(),
});

export type DeadLetterPayload = z.output<typeof deadLetterPayload>;

/** Its first run fails with the reason of the letter; a retry of it is what lets the letter be tried again. */
export const deadLetterJob = {
  queue: QUEUES.delivery,
  name: DEAD_LETTER,
  payload: deadLetterPayload,
  idOf: ({ kind, id }: Pick<DeadLetterPayload, 'kind' | 'id'>): string => `dead-${kind}-${id}`,
  options: {
    attempts: 1,
    backoff: { type: 'fixed', delay: 1_000 },
    removeOnComplete: { age: 1, count: 0, limit: 1_000 },
    removeOnFail: { age: 365 * 24 * 3_600, count: 10_000, limit: 1_000 },
  } satisfies JobOptions,
} as const;
