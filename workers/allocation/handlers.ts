import { ALLOCATE, type AllocatePayload, allocatePayload, requestOf } from '../../queues/jobs/allocate.ts';
import { ALLOCATE_BATCH, allocateBatchPayload } from '../../queues/jobs/allocate-batch.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import { type AllocateCall, type AllocateParts, allocate } from './allocate.ts';
import { type AllocateBatchParts, allocateBatch } from './allocate-batch.ts';

/** Tells a waiting caller, if there is one, what became of its job. */
export type Tell = (payload: { readonly replyTo?: string | undefined }, id: string, outcome: unknown) => Promise<void>;

/** Which verb runs for which job of the queue `allocate`. A group tells of its single requests itself. */
export function createHandlers(
  parts: AllocateParts & AllocateBatchParts & { readonly tell: Tell },
): Record<typeof ALLOCATE | typeof ALLOCATE_BATCH, JobHandler> {
  return {
    [ALLOCATE]: checked(allocatePayload, (payload, context) => allocate(parts, toCall(payload), context)),
    [ALLOCATE_BATCH]: checked(allocateBatchPayload, async (payload, context) => {
      const outcome = await allocateBatch(parts, payload, context);
      await parts.tell(payload, payload.batchId, outcome);
      return outcome;
    }),
  };
}

function toCall(payload: AllocatePayload): AllocateCall {
  const { replyTo, fairStart, acceptedAt } = payload;
  return { request: requestOf(payload), replyTo, fairStart, acceptedAt };
}
