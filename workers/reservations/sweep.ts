import { messageOf, SchedulerError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Store } from '../../shared/store/store.ts';
import { noteFault, type Step } from '../../shared/store/sweep-reservations.ts';

export interface SweepParts {
  readonly store: Store;
  readonly logger: Logger;
}

/** Rows of one transaction. */
const BATCH = 200;

/**
 * Does one step with every row that is due, batch after batch. When a batch fails its rows are tried one by one: the one that
 * cannot be done is noted in its row and put off, the others are done.
 *
 * @throws SchedulerError STORE_UNAVAILABLE; the next tick goes on
 */
export async function sweep(parts: SweepParts, step: Step, signal: AbortSignal): Promise<number> {
  let changed = 0;
  for (;;) {
    signal.throwIfAborted();
    const due = await step.due(parts.store, BATCH);
    if (due.length === 0) return changed;
    const done = await changeAll(parts, step, due);
    changed += done;
    // What is left is being done elsewhere or put off.
    if (due.length < BATCH || done === 0) return changed;
  }
}

async function changeAll(parts: SweepParts, step: Step, due: readonly string[]): Promise<number> {
  try {
    return await step.change(parts.store, due);
  } catch (error) {
    if (isOutage(error)) throw error;
    let changed = 0;
    for (const id of due) changed += await changeOne(parts, step, id);
    return changed;
  }
}

async function changeOne(parts: SweepParts, step: Step, id: string): Promise<number> {
  try {
    return await step.change(parts.store, [id]);
  } catch (error) {
    await noteFaultOf(parts, id, error, step.name);
    return 0;
  }
}

/** Writes a fault into its row, where people see it, and says so in the log. An outage is nobody's own fault: it is thrown. */
export async function noteFaultOf({ store, logger }: SweepParts, reservationId: string, error: unknown, doing: string): Promise<void> {
  if (isOutage(error)) throw error;
  logger.error({ err: error, reservationId, doing }, 'a reservation could not be dealt with; the others go on, it is tried again');
  await noteFault(store, reservationId, messageOf(error));
}

function isOutage(error: unknown): boolean {
  return error instanceof SchedulerError && error.code === 'STORE_UNAVAILABLE';
}
