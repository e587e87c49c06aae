import { UnrecoverableError } from 'bullmq';
import type { DeadLetterPayload } from '../../queues/jobs/dead-letter.ts';
import { retryDeadLetters } from '../../shared/store/dead-letters.ts';
import type { Store } from '../../shared/store/store.ts';

/**
 * Lets a dead letter be tried again when its job is retried; the first run only puts it among the failed jobs, to be seen there.
 *
 * @returns whether there was such a dead letter
 * @throws UnrecoverableError in the first attempt, with the reason of the letter; SchedulerError STORE_UNAVAILABLE
 */
export async function reviveDeadLetter(
  store: Store,
  { id, reason }: DeadLetterPayload,
  attempt: number,
): Promise<{ readonly revived: boolean }> {
  if (attempt === 1) throw new UnrecoverableError(reason);
  const revived = await retryDeadLetters(store, { id }, { kind: 'all' });
  return { revived: revived.length > 0 };
}
