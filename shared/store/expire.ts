import { faultPoint } from '../fault-point.ts';
import { BY_INDEX } from './by-index.ts';
import { type Ending, endAllocations } from './end-allocations.ts';
import { type EndBatch, orRefused } from './end-in-batches.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

/**
 * Ends one batch of due allocations, oldest first. Rows another sweep is working on are skipped, so any number of
 * sweeps may run at once; rows that could not be ended a moment ago are left for later.
 *
 * @param limit  most allocations of one transaction
 * @throws SchedulerError STORE_UNAVAILABLE; EndRefused when the database refuses one of them
 */
export async function expireDue(store: Store, limit: number, ending: Ending): Promise<EndBatch> {
  return store.transaction(async (tx) => {
    const ids = await lockDue(tx, limit);
    if (ids.length > 0) faultPoint('expire.2');
    const ends = ids.map((allocationId) => ({ allocationId, reason: 'expired' as const }));
    const ended = await orRefused(ids, () => endAllocations(tx, ends, ending));
    if (ended.length > 0) faultPoint('expire.3');
    return { ended, looked: ids.length };
  });
}

/** Locks allocations whose time has run out, oldest first, without waiting for any. @returns their ids */
export async function lockDue(tx: Pick<Transaction, '$queryRaw'>, limit: number): Promise<string[]> {
  const due = await tx.$queryRaw<{ id: string }[]>`
    SELECT a.id FROM allocations a CROSS JOIN ${BY_INDEX} WHERE a.status = 'allocated' AND a.expires_at <= now()
      AND NOT EXISTS (SELECT FROM stuck_ends s WHERE s.allocation_id = a.id AND s.next_attempt_at > now())
    ORDER BY a.expires_at, a.id LIMIT ${limit} FOR UPDATE OF a SKIP LOCKED`;
  return due.map(({ id }) => id);
}

/** Frees devices whose cleaning time is over. @returns their ids */
export async function endCleaning(store: Store): Promise<string[]> {
  const rows = await translated(
    store.prisma.$queryRaw<{ id: string }[]>`
      UPDATE devices SET cleaning_until = NULL, updated_at = now() WHERE cleaning_until <= now() RETURNING id`,
  );
  return rows.map(({ id }) => id);
}
