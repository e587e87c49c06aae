import { CANCEL, cancelPayload } from '../../queues/jobs/cancel.ts';
import { RELEASE, releasePayload } from '../../queues/jobs/release.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import { type CancelParts, cancel } from './cancel.ts';
import { type ReleaseParts, release } from './release.ts';

/** Tells a waiting caller, if there is one, what became of its job. */
export type Tell = (payload: { readonly replyTo?: string | undefined }, id: string, outcome: unknown) => Promise<void>;

/** Which verb runs for which job of the queue `release`. */
export function createHandlers(
  parts: ReleaseParts & CancelParts & { readonly tell: Tell },
): Record<typeof RELEASE | typeof CANCEL, JobHandler> {
  return {
    [RELEASE]: checked(releasePayload, async (payload) => {
      const outcome = await release(parts, payload);
      await parts.tell(payload, payload.releaseId, outcome);
      return outcome;
    }),
    [CANCEL]: checked(cancelPayload, async (payload) => {
      const outcome = await cancel(parts, payload);
      await parts.tell(payload, payload.cancelId, outcome);
      return outcome;
    }),
  };
}
