import { OUT_OF_SERVICE } from '../consumed/decide-loss.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** Most of one look: a month of a device in quarters of an hour is not more. */
const MOST = 3_000;

/**
 * Reservations that have not begun of a device that is out of service now or drains, the next one first. Those for this very device are left
 * out: no other may replace it. Nothing of a device that is back.
 */
export async function strandedReservations(store: Store, deviceId: string): Promise<readonly string[]> {
  const rows = await translated(
    store.prisma.$queryRaw<{ id: string }[]>`
      SELECT r.id::text AS id FROM devices d JOIN reservations r ON r.device_id = d.id
      WHERE d.id = ${deviceId}::uuid AND (d.status = ANY(${[...OUT_OF_SERVICE]}::text[]) OR d.draining) AND r.status IN ('pending', 'confirmed')
        AND r.starts_at > now() AND r.wanted_device_id IS NULL
      ORDER BY r.starts_at, r.id LIMIT ${MOST}::int`,
  );
  return rows.map(({ id }) => id);
}
