import type { EndReason } from '../allocation/end-reason.ts';
import { failureAfterEnd, statusAfterEnd } from '../reservation/reservation.ts';
import { bookingOf, RESERVATION, type ReservationRecord, tell, toldOfFailure } from './reservation-rows.ts';
import type { Store } from './store.ts';

interface StuckRow extends ReservationRecord {
  /** Nothing: the allocation is not there. */
  readonly endReason: EndReason | null;
}

/**
 * Ends reservations that run although their allocation is over or not there: there are none, unless somebody wrote by hand, since
 * an allocation and its reservation end in one statement. They become what that statement would have made of them.
 *
 * @param limit  most rows of this look
 * @returns the reservations that were ended, and the devices whose time they held
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function closeStuckReservations(
  store: Store,
  limit: number,
): Promise<{ readonly closed: readonly string[]; readonly freed: readonly string[] }> {
  return store.transaction(async (tx) => {
    const stuck = await tx.$queryRaw<StuckRow[]>`
      SELECT ${RESERVATION}, a.end_reason AS "endReason" FROM reservations r LEFT JOIN allocations a ON a.id = r.allocation_id
      WHERE r.status = 'executing' AND a.status IS DISTINCT FROM 'allocated' ORDER BY r.id LIMIT ${limit}::int FOR UPDATE OF r SKIP LOCKED`;
    const ends = stuck.map((row) => ({ row, failure: failureOf(row.endReason) }));
    const failed = ends.flatMap(({ row, failure }) => (failure === undefined ? [] : [toldOfFailure(bookingOf(row), failure, row.traceId)]));
    const changes = ends.map(({ row, failure }) => ({
      id: row.reservationId,
      code: failure?.code ?? null,
      reason: failure?.reason ?? null,
    }));
    await tx.$executeRaw`
      WITH changed AS (
        UPDATE reservations r SET status = CASE WHEN x.code IS NULL THEN 'completed' ELSE 'failed' END, failure_code = x.code, failure_reason = x.reason, updated_at = now()
        FROM jsonb_to_recordset(${JSON.stringify(changes)}::jsonb) AS x(id uuid, code text, reason text)
        WHERE r.id = x.id AND r.status = 'executing' RETURNING r.id
      ) ${tell(failed)}`;
    return { closed: changes.map(({ id }) => id), freed: stuck.flatMap(({ deviceId }) => deviceId ?? []) };
  });
}

function failureOf(endReason: EndReason | null) {
  if (endReason === null) return { code: 'INTERNAL', reason: 'its allocation is not there', queueId: null };
  if (statusAfterEnd(endReason) === 'completed') return undefined;
  return { code: failureAfterEnd(endReason), reason: endReason, queueId: null };
}
