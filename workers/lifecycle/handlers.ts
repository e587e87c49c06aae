import { CANCEL, cancelPayload } from '../../queues/jobs/cancel.ts';
import { RELEASE, releasePayload } from '../../queues/jobs/release.ts';
import { RELEASE_BATCH, releaseBatchPayload } from '../../queues/jobs/release-batch.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import { type CancelParts, cancel } from './cancel.ts';
import { type ReleaseParts, release } from './release.ts';
import { type ReleaseBatchParts, releaseBatch } from './release-batch.ts';

/** Tells a waiting caller, if there is one, what became of its job. */
export type Tell = (payload: { readonly replyTo?: string | undefined }, id: string, outcome: unknown) => Promise<void>;

/** Which verb runs for which job of the queue `release`. */
export function createHandlers(
  parts: ReleaseParts & ReleaseBatchParts & CancelParts & { readonly tell: Tell },
): Record<typeof RELEASE | typeof RELEASE_BATCH | typeof CANCEL, JobHandler> {
  return {
    [RELEASE]: checked(releasePayload, async (payload) => {
      const outcome = await release(parts, payload);
      await parts.tell(payload, payload.releaseId, outcome);
      return outcome;
    }),
    [RELEASE_BATCH]: checked(releaseBatchPayload, async (payload) => {
      const outcome = await releaseBatch(parts, payload);
      await parts.tell(payload, payload.batchId, outcome);
      return outcome;
    }),
    [CANCEL]: checked(cancelPayload, async (payload) => {
      const outcome = await cancel(parts, payload);
      await parts.tell(payload, payload.cancelId, outcome);
      return outcome;
    }),
  };
}
