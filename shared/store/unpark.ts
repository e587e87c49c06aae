import { Prisma } from '../../prisma/generated/client.ts';
import { UNBOUNDED } from '../waitlist/needs.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/**
 * Whether anybody waits. Ordered, and no EXISTS: that would drop the order, and by statistics of a time when many waited
 * read the whole table to find that nobody does.
 */
export const SOMEBODY_WAITS = Prisma.sql`((SELECT TRUE FROM requests WHERE status = 'waiting' ORDER BY user_id LIMIT 1) IS NOT NULL)`;

/** Whether anybody waits, passed over or not. One look into an index. */
export async function somebodyWaits(store: Store): Promise<boolean> {
  const [row] = await translated(store.prisma.$queryRaw<{ waits: boolean }[]>`SELECT ${SOMEBODY_WAITS} AS waits`);
  return row?.waits ?? false;
}

/**
 * Puts the waiting requests of these users, and of the users whose allocations ended, back into the queue, with nothing
 * remembered of the limits they met: whoever decides next learns it anew.
 *
 * All their waiting rows are waited for and written, not only those that look parked: one may be parked in this moment by
 * a group that does not know yet of what has changed. @returns their ids
 */
export async function unpark(store: Store, users: readonly string[], allocations: readonly string[]): Promise<string[]> {
  const rows = await translated(
    store.prisma.$queryRaw<{ id: string }[]>`
      WITH mine AS (
        SELECT id FROM requests WHERE status = 'waiting' AND user_id = ANY (
          ${users}::text[] || ARRAY(SELECT user_id FROM allocations WHERE id = ANY(${allocations}::uuid[])))
        ORDER BY id FOR UPDATE
      )
      UPDATE requests r SET parked = NULL, parked_at = NULL, needs = r.needs[1:4] || ARRAY[${UNBOUNDED}::int, ${UNBOUNDED}::int, ${UNBOUNDED}::int]
      FROM mine WHERE r.id = mine.id AND r.status = 'waiting' RETURNING r.id`,
  );
  return rows.map(({ id }) => id);
}

/** Puts those back that were passed over for so long that something may have changed without anybody saying so, the longest first. */
export async function unparkStale(store: Store, olderThanSeconds: number, limit: number): Promise<number> {
  return translated(
    store.prisma.$executeRaw`
      WITH stale AS (
        SELECT id FROM requests WHERE status = 'waiting' AND parked IS NOT NULL AND parked_at < now() - make_interval(secs => ${olderThanSeconds}::int)
        ORDER BY parked_at, id LIMIT ${limit}::int FOR UPDATE SKIP LOCKED
      )
      UPDATE requests r SET parked = NULL, parked_at = NULL, needs = r.needs[1:4] || ARRAY[${UNBOUNDED}::int, ${UNBOUNDED}::int, ${UNBOUNDED}::int]
      FROM stale WHERE r.id = stale.id`,
  );
}
