import { type AllocatePayload, requestOf } from '../../queues/jobs/allocate.ts';
import type { CancelOutcome, CancelPayload } from '../../queues/jobs/cancel.ts';
import { type Cancellation, cancelOwnRequest, cancelUnseenRequest } from '../../shared/store/cancel-request.ts';
import type { Store } from '../../shared/store/store.ts';

export interface CancelParts {
  readonly store: Store;
  /** The words of a request that is still a job. */
  readonly asked: (requestId: string) => Promise<AllocatePayload | undefined>;
  /** Tells whoever waits for the request that it is over. */
  readonly ended: (requestId: string) => Promise<void>;
}

/**
 * Withdraws a request that nobody has decided yet, whether a worker has seen it or not.
 *
 * The job is left alone: when its turn comes it finds the request settled, and whoever waits for it reads so.
 *
 * @throws SchedulerError STORE_UNAVAILABLE, QUEUE_UNAVAILABLE; the queue tries again
 */
export async function cancel(parts: CancelParts, payload: CancelPayload): Promise<CancelOutcome> {
  const { requestId } = payload;
  switch (await withdraw(parts, payload)) {
    case 'cancelled':
      await parts.ended(requestId);
      return { status: 'cancelled', requestId };
    case 'decided':
      return { status: 'refused', requestId, code: 'REQUEST_DECIDED' };
    case 'unknown':
      return { status: 'refused', requestId, code: 'REQUEST_NOT_FOUND' };
  }
}

async function withdraw({ store, asked }: CancelParts, { requestId, caller }: CancelPayload): Promise<Cancellation> {
  const known = await cancelOwnRequest(store, requestId, caller);
  if (known !== 'unknown') return known;
  const job = await asked(requestId);
  return job?.caller === caller ? cancelUnseenRequest(store, requestOf(job)) : 'unknown';
}
