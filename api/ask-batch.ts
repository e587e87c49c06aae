import { setTimeout as pause } from 'node:timers/promises';
import { SchedulerError } from '../shared/errors.ts';
import type { ServerDeps } from './deps.ts';

/** Longest wait for a batch, ms. */
const WAIT_MS = 15_000;
/** How often the rows are looked at in case the message about them got lost. */
const LOOK_AGAIN_MS = 1_000;

/** One batch on its way through a queue. */
export interface BatchCall<T> {
  readonly id: string;
  readonly enqueue: () => Promise<void>;
  /** Reads from the rows what became of it; nothing while that is open. */
  readonly look: () => Promise<T | undefined>;
}

/**
 * Hands a batch over and waits until it is done. The message that it is only wakes us; what is answered is read from rows.
 *
 * @throws SchedulerError QUEUE_UNAVAILABLE when it was not done in time or may not have got into the queue: it may still
 *   be done. A repeat under the same Idempotency-Key asks for the same batch and never for a second one.
 */
export async function askBatch<T>({ outcomes }: Pick<ServerDeps, 'outcomes'>, call: BatchCall<T>): Promise<T> {
  const until = Date.now() + WAIT_MS;
  const told = outcomes.wait(call.id, WAIT_MS);
  await call.enqueue();
  for (;;) {
    await Promise.race([told, pause(Math.min(LOOK_AGAIN_MS, Math.max(1, until - Date.now())), undefined, { ref: false })]);
    const result = await call.look();
    if (result !== undefined) return result;
    if (Date.now() >= until) {
      throw new SchedulerError('QUEUE_UNAVAILABLE', {
        messages: ['The batch was not carried out in time; it may be later. Ask again under the same Idempotency-Key.'],
        retryAfter: 1,
      });
    }
  }
}
