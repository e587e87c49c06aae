import type { Store } from './store.ts';

/** One look at a part of the fleet. `checkedTo`: the last device looked at; nothing when the end was reached. */
export interface HoldsCheck {
  readonly repaired: readonly string[];
  readonly checkedTo: string | null;
}

const FIRST = '00000000-0000-0000-0000-000000000000';

/**
 * Compares devices with their live allocations, a part of the fleet at a time, and makes the device say what the
 * allocation says: a hold without a live allocation is lifted, a live allocation without its hold gets it back.
 *
 * What looks wrong is looked at again under the lock of the device, by a statement that is younger than the lock: a grant
 * or an end under way is never taken for a contradiction.
 *
 * @param after  where the last look ended
 * @param limit  most devices of this look
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function repairHolds(store: Store, after: string | null, limit: number): Promise<HoldsCheck> {
  return store.transaction(async (tx) => {
    const [look] = await tx.$queryRaw<{ wrong: string[] | null; last: string | null; looked: number }[]>`
      WITH part AS MATERIALIZED (SELECT id, allocation_id, fence FROM devices WHERE id > ${after ?? FIRST}::uuid ORDER BY id LIMIT ${limit}::int)
      SELECT (SELECT array_agg(p.id) FROM part p LEFT JOIN allocations a ON a.device_id = p.id AND a.status = 'allocated'
              WHERE p.allocation_id IS DISTINCT FROM a.id OR p.fence < a.fence) AS wrong,
             (SELECT id FROM part ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*)::int FROM part) AS looked`;
    const checkedTo = look !== undefined && look.looked === limit ? look.last : null;
    const wrong = look?.wrong ?? [];
    if (wrong.length === 0) return { repaired: [], checkedTo };
    const locked = await tx.$queryRaw<{ id: string }[]>`
      SELECT id FROM devices WHERE id = ANY(${wrong}::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED`;
    const ids = locked.map(({ id }) => id);
    const repaired = await tx.$queryRaw<{ id: string }[]>`
      UPDATE devices d SET allocation_id = held.id, fence = greatest(d.fence, held.fence), updated_at = now()
      FROM (SELECT asked.id AS device_id, a.id, coalesce(a.fence, 0) AS fence FROM unnest(${ids}::uuid[]) AS asked(id)
            LEFT JOIN allocations a ON a.device_id = asked.id AND a.status = 'allocated') held
      WHERE d.id = held.device_id AND (d.allocation_id IS DISTINCT FROM held.id OR d.fence < held.fence)
      RETURNING d.id`;
    return { repaired: repaired.map(({ id }) => id), checkedTo };
  });
}
