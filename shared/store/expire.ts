import { type EndedAllocation, type Ending, endAllocations } from './end-allocations.ts';
import type { Store } from './store.ts';

/**
 * Ends one batch of due allocations, oldest first. Rows another sweep is working on are skipped, so any number of
 * sweeps may run at once; call again until nothing comes back.
 *
 * @param limit  most allocations of one transaction
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function expireDue(store: Store, limit: number, ending: Ending): Promise<EndedAllocation[]> {
  return store.transaction(async (tx) => {
    const due = await tx.$queryRaw<{ id: string }[]>`
      SELECT id FROM allocations WHERE status = 'allocated' AND expires_at <= now()
      ORDER BY expires_at, id LIMIT ${limit} FOR UPDATE SKIP LOCKED`;
    return endAllocations(
      tx,
      due.map(({ id }) => ({ allocationId: id, reason: 'expired' })),
      ending,
    );
  });
}

/** Frees devices whose cleaning time is over. @returns how many */
export async function endCleaning(store: Store): Promise<number> {
  return store.prisma.$executeRaw`UPDATE devices SET cleaning_until = NULL, updated_at = now() WHERE cleaning_until <= now()`;
}
