import { notice } from '../notices/notice.ts';
import { writeNotices } from './notices.ts';
import type { Store } from './store.ts';

/**
 * Tells the holders of one batch of allocations that their time ends soon: once for each end, so again after an
 * extension. Who got a device for no longer than the notice anyway is not told.
 *
 * @param noticeMinutes  how long before the end
 * @param limit          most allocations of one transaction
 * @returns how many were told of
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function tellExpiringSoon(store: Store, noticeMinutes: number, limit: number): Promise<number> {
  return store.transaction(async (tx) => {
    const rows = await tx.$queryRaw<{ id: string; device_id: string; user_id: string; expires_at: Date; minutes_left: number }[]>`
      WITH soon AS (
        SELECT id FROM allocations
        WHERE status = 'allocated' AND expires_at > now() AND expires_at <= now() + make_interval(mins => ${noticeMinutes}::int)
          AND expiry_told_for IS DISTINCT FROM expires_at AND expires_at > allocated_at + make_interval(mins => ${noticeMinutes}::int)
        ORDER BY expires_at, id LIMIT ${limit} FOR UPDATE SKIP LOCKED
      )
      UPDATE allocations a SET expiry_told_for = a.expires_at FROM soon WHERE a.id = soon.id
      RETURNING a.id, a.device_id, a.user_id, a.expires_at, ceil(extract(epoch FROM a.expires_at - now()) / 60)::int AS minutes_left`;
    await writeNotices(
      tx,
      rows.map((row) =>
        notice('allocation_expiring_soon', {
          userId: row.user_id,
          allocationId: row.id,
          deviceId: row.device_id,
          expiresAt: row.expires_at.toISOString(),
          minutesLeft: row.minutes_left,
        }),
      ),
    );
    return rows.length;
  });
}
