import type { AllocationRequest } from '../allocation/facts.ts';
import { leaveQueue } from './join-queue.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** `cancelled`: here or before. `decided`: too late, the outcome stands. `unknown`: there is no such request of this caller. */
export type Cancellation = 'cancelled' | 'decided' | 'unknown';

/** Withdraws an undecided request of a caller. Cancel against grant: the database picks one. */
export async function cancelOwnRequest(store: Store, requestId: string, caller: string): Promise<Cancellation> {
  if (await leaveQueue(store, requestId, { kind: 'caller', caller })) return 'cancelled';
  const [row] = await translated(store.prisma.$queryRaw<{ status: string }[]>`
    WITH cancelled AS (
      UPDATE requests SET status = 'cancelled', code = 'REQUEST_CANCELLED', decided_at = now()
      WHERE id = ${requestId}::uuid AND caller = ${caller} AND status = 'pending'
      RETURNING status
    )
    SELECT status FROM cancelled
    UNION ALL
    SELECT status FROM requests WHERE id = ${requestId}::uuid AND caller = ${caller} AND NOT EXISTS (SELECT FROM cancelled)`);
  if (row === undefined) return 'unknown';
  // It may have begun to wait between the two looks.
  if (row.status !== 'cancelled' && (await leaveQueue(store, requestId, { kind: 'caller', caller }))) return 'cancelled';
  return row.status === 'cancelled' ? 'cancelled' : 'decided';
}

/**
 * Withdraws a request that is a job and no row yet, by writing its row as cancelled: the worker that takes the job later
 * finds it settled.
 *
 * The user's lock is taken first. A group that is deciding the request right now holds it, so this waits and then sees
 * what was decided; a group that comes later waits for us. Without it the two would meet at the row's id, and the whole
 * group would be undone.
 */
export async function cancelUnseenRequest(store: Store, request: AllocationRequest): Promise<Cancellation> {
  const { requestId, caller, source, userId, tenantId, tier, asked, traceId } = request;
  return store.transaction(async (tx) => {
    await tx.$executeRaw`
      INSERT INTO users AS u (id, tenant_id) VALUES (${userId}, ${tenantId})
      ON CONFLICT (id) DO UPDATE SET updated_at = now() WHERE FALSE`;
    const [row] = await tx.$queryRaw<{ status: string }[]>`
      WITH cancelled AS (
        INSERT INTO requests AS r (id, caller, source, user_id, tenant_id, tier, status, asked, trace_id, code, decided_at)
        VALUES (${requestId}::uuid, ${caller}, ${source}, ${userId}, ${tenantId}, ${tier}, 'cancelled', ${JSON.stringify(asked)}::jsonb,
                ${traceId ?? null}, 'REQUEST_CANCELLED', now())
        ON CONFLICT (id) DO UPDATE SET status = 'cancelled', code = 'REQUEST_CANCELLED', decided_at = now()
          WHERE r.caller = excluded.caller AND r.status IN ('pending', 'waiting')
        RETURNING r.status
      )
      SELECT status FROM cancelled
      UNION ALL
      SELECT status FROM requests WHERE id = ${requestId}::uuid AND caller = ${caller} AND NOT EXISTS (SELECT FROM cancelled)`;
    if (row === undefined) return 'unknown';
    return row.status === 'cancelled' ? 'cancelled' : 'decided';
  });
}
