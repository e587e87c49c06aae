import type { CancelOutcome, CancelPayload } from '../../queues/jobs/cancel.ts';
import { cancelOwnRequest } from '../../shared/store/cancel-request.ts';
import type { Store } from '../../shared/store/store.ts';

/**
 * Withdraws a request that nobody has decided yet.
 *
 * A request of a client has a row only once a worker has seen it: before that it cannot be cancelled, and the answer is
 * REQUEST_NOT_FOUND.
 *
 * @throws SchedulerError STORE_UNAVAILABLE; the queue tries again
 */
export async function cancel(store: Store, { requestId, caller }: CancelPayload): Promise<CancelOutcome> {
  switch (await cancelOwnRequest(store, requestId, caller)) {
    case 'cancelled':
      return { status: 'cancelled', requestId };
    case 'decided':
      return { status: 'refused', requestId, code: 'REQUEST_DECIDED' };
    case 'unknown':
      return { status: 'refused', requestId, code: 'REQUEST_NOT_FOUND' };
  }
}
