import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/**
 * Withdraws an undecided request of a caller. Cancel against grant: the database picks one.
 *
 * @returns `cancelled` (also when it was cancelled before), `decided` when it is too late, `unknown` when there is no such request of this caller
 */
export async function cancelOwnRequest(store: Store, requestId: string, caller: string): Promise<'cancelled' | 'decided' | 'unknown'> {
  const [row] = await translated(store.prisma.$queryRaw<{ status: string }[]>`
    WITH cancelled AS (
      UPDATE requests SET status = 'cancelled', code = 'REQUEST_CANCELLED', decided_at = now()
      WHERE id = ${requestId}::uuid AND caller = ${caller} AND status IN ('pending', 'waiting')
      RETURNING status
    )
    SELECT status FROM cancelled
    UNION ALL
    SELECT status FROM requests WHERE id = ${requestId}::uuid AND caller = ${caller} AND NOT EXISTS (SELECT FROM cancelled)`);
  if (row === undefined) return 'unknown';
  return row.status === 'cancelled' ? 'cancelled' : 'decided';
}
