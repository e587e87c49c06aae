import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** A reservation on the timeline. */
export interface NextReservation {
  readonly id: string;
  readonly userId: string;
  readonly status: string;
  readonly deviceName: string | null;
  readonly startsAt: Date;
  readonly endsAt: Date;
}

/** Reservations that run now or begin soonest, in the order of their start. */
export async function readNextReservations(store: Store, limit: number): Promise<readonly NextReservation[]> {
  return translated(
    store.prisma.$queryRaw<NextReservation[]>`
      SELECT r.id::text AS id, r.user_id AS "userId", r.status, d.name AS "deviceName", r.starts_at AS "startsAt", r.ends_at AS "endsAt"
      FROM (
        (SELECT * FROM reservations WHERE status = 'executing' ORDER BY id LIMIT ${limit}::int)
        UNION ALL
        (SELECT * FROM reservations WHERE status IN ('pending', 'confirmed') ORDER BY starts_at, id LIMIT ${limit}::int)
      ) r LEFT JOIN devices d ON d.id = r.device_id ORDER BY r.starts_at, r.id LIMIT ${limit}::int`,
  );
}
