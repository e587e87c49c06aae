import { messageOf, SchedulerError } from '../errors.ts';
import type { EndedAllocation } from './end-allocations.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** What one batch did: the allocations it ended, and how many it looked at. */
export interface EndBatch {
  readonly ended: readonly EndedAllocation[];
  readonly looked: number;
}

/** The database refused to end one of these allocations; nothing of their batch has happened. */
export class EndRefused extends Error {
  readonly allocationIds: readonly string[];

  constructor(allocationIds: readonly string[], cause: unknown) {
    super(`the database refuses to end one of ${allocationIds.length} allocations: ${messageOf(cause)}`, { cause });
    this.name = 'EndRefused';
    this.allocationIds = allocationIds;
  }
}

export interface EndInBatchesOptions {
  /** Ends what is next, at most `limit` at once; throws EndRefused when one of them cannot be ended. */
  readonly next: (limit: number) => Promise<EndBatch>;
  readonly signal?: AbortSignal;
  /** Hears of each batch after its commit. */
  readonly onEnded?: (ended: readonly EndedAllocation[]) => Promise<void>;
  /** Hears of a row that cannot be ended. It is put off and looked at again later. */
  readonly onStuck?: (allocationId: string, error: EndRefused) => void;
}

/** Allocations ended in one transaction. */
const BATCH = 500;
/** A row that cannot be ended is tried again after 2, 4, 8 … s, and at least this often, s. */
const LONGEST_PAUSE_S = 300;

/**
 * Ends batch after batch until none is due. One row that the database refuses never stops the rest: its batch is halved
 * until the row is alone, the row is noted in `stuck_ends`, and the others go on.
 *
 * A full first batch means that many are due: then two work through the rest at once, since one spends half its time on
 * reading what the other could write. Batches pass over each other's rows.
 *
 * @returns how many were ended, and how many could not be
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function endInBatches(store: Store, options: EndInBatchesOptions): Promise<{ ended: number; stuck: number }> {
  const first = await sweep(store, options, 1);
  if (!first.more) return { ended: first.ended, stuck: first.stuck };
  const rest = await Promise.allSettled([sweep(store, options), sweep(store, options)]);
  const total = { ended: first.ended, stuck: first.stuck };
  for (const part of rest) {
    if (part.status === 'rejected') throw part.reason;
    total.ended += part.value.ended;
    total.stuck += part.value.stuck;
  }
  return total;
}

/** @param most  batches ended before it returns, `more` to come */
async function sweep(
  store: Store,
  options: EndInBatchesOptions,
  most = Number.POSITIVE_INFINITY,
): Promise<{ ended: number; stuck: number; more: boolean }> {
  let [limit, ended, stuck, batches] = [BATCH, 0, 0, 0];
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      const batch = await options.next(limit);
      ended += batch.ended.length;
      if (batch.ended.length > 0) await options.onEnded?.(batch.ended);
      if (batch.looked < limit) return { ended, stuck, more: false };
      batches += 1;
      if (batches >= most) return { ended, stuck, more: true };
      limit = Math.min(BATCH, limit * 2);
    } catch (error) {
      if (!(error instanceof EndRefused)) throw error;
      const [alone = '', ...others] = error.allocationIds;
      if (others.length > 0) {
        limit = Math.ceil(Math.min(limit, error.allocationIds.length) / 2);
        continue;
      }
      await noteStuck(store, alone, messageOf(error.cause));
      stuck += 1;
      options.onStuck?.(alone, error);
    }
  }
}

async function noteStuck(store: Store, allocationId: string, error: string): Promise<void> {
  await translated(store.prisma.$executeRaw`
    INSERT INTO stuck_ends AS s (allocation_id, last_error, next_attempt_at) VALUES (${allocationId}::uuid, ${error.slice(0, 1_000)}, now() + interval '2 seconds')
    ON CONFLICT (allocation_id) DO UPDATE SET attempts = s.attempts + 1, last_error = excluded.last_error,
      next_attempt_at = now() + make_interval(secs => least(${LONGEST_PAUSE_S}::int, power(2, least(s.attempts + 1, 20))))`);
}

/** Runs `end` for these allocations; an error that is not of the connection says that one of them is refused. */
export async function orRefused<T>(allocationIds: readonly string[], end: () => Promise<T>): Promise<T> {
  try {
    return await end();
  } catch (error) {
    if (error instanceof SchedulerError || allocationIds.length === 0) throw error;
    throw new EndRefused(allocationIds, error);
  }
}

/** Forgets rows that could not be ended and have ended since. */
export async function forgetUnstuck(store: Store): Promise<number> {
  return translated(store.prisma.$executeRaw`
    DELETE FROM stuck_ends s WHERE NOT EXISTS (SELECT FROM allocations a WHERE a.id = s.allocation_id AND a.status = 'allocated')`);
}
