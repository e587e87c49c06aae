import { ALLOCATE, type AllocatePayload, allocatePayload, requestOf } from '../../queues/jobs/allocate.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import { type AllocateCall, type AllocateParts, allocate } from './allocate.ts';

/** Which verb runs for which job of the queue `allocate`. */
export function createHandlers(parts: AllocateParts): Record<typeof ALLOCATE, JobHandler> {
  return {
    [ALLOCATE]: checked(allocatePayload, (payload, context) => allocate(parts, toCall(payload), context)),
  };
}

function toCall(payload: AllocatePayload): AllocateCall {
  const { replyTo, fairStart, acceptedAt } = payload;
  return { request: requestOf(payload), replyTo, fairStart, acceptedAt };
}
