import { z } from 'zod';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { allocateJob, allocatePayload } from './allocate.ts';

/** Name of the job that decides the requests of one batch in one transaction. It shares the queue and the fair order of single ones. */
export const ALLOCATE_BATCH = 'allocate-batch';

/** Most requests of a batch. */
export const MAX_BATCH_ALLOCATE = 50;

/** What a batch says of each request; the rest of a request's payload is the batch's own. */
const member = allocatePayload.pick({ requestId: true, userId: true, tenantId: true, tier: true, asked: true });

/** `acceptedAt` and `fairStart` as in a single request; the batch is served when the last of its requests would be. */
export const allocateBatchPayload = allocatePayload
  .pick({ caller: true, source: true, traceId: true, replyTo: true, acceptedAt: true, fairStart: true })
  .extend({
    batchId: z.guid(),
    atomic: z.boolean(),
    continueOnError: z.boolean(),
    members: z.array(member).min(1).max(MAX_BATCH_ALLOCATE),
  });

export type AllocateBatchPayload = z.output<typeof allocateBatchPayload>;

/** A batch before the fair order has placed it. */
export type NewAllocateBatch = Omit<AllocateBatchPayload, 'fairStart'>;

/** What became of the requests of a batch, in the order asked. */
export interface AllocateBatchOutcome {
  readonly batchId: string;
  readonly outcomes: readonly AllocateOutcome[];
}

export const allocateBatchJob = {
  queue: allocateJob.queue,
  name: ALLOCATE_BATCH,
  payload: allocateBatchPayload,
  idOf: (payload: Pick<AllocateBatchPayload, 'batchId'>): string => payload.batchId,
  options: allocateJob.options,
} as const;
