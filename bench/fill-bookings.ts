import pg from 'pg';

/** Of a history as `fillHistory` writes it: what is to come of its live allocations, and what was booked beside them. */
export interface BookingsSize {
  readonly devices: number;
  readonly reservations: number;
}

/** Users of the reservations. */
export const BOOKERS = 10_000;

/**
 * One in twenty live allocations ends within the hour, is watched by heartbeats that have come, and is to be extended by itself.
 * Reservations lie an hour apart on the devices in turn, a quarter of them still to come; each allocation was extended once.
 */
export async function fillBookings(databaseUrl: string, { devices, reservations }: BookingsSize): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    // Foreign keys of rows that are made up from what they refer to, and checks of neighbours in time that are made apart.
    await client.query('SET session_replication_role = replica');
    await client.query(`
      UPDATE allocations SET expires_at = now() + make_interval(secs => 60 + fence + get_byte(uuid_send(id), 5) * 12), auto_extend = true,
        heartbeat_seconds = 60, last_heartbeat_at = now(), heartbeat_check_at = now() + make_interval(secs => get_byte(uuid_send(id), 6) - 10)
      WHERE status = 'allocated' AND expires_at > now() AND get_byte(uuid_send(id), 7) % 20 = 0`);
    await client.query('CREATE TEMP TABLE turns AS SELECT id, row_number() OVER () - 1 AS turn FROM devices');
    await client.query(
      `INSERT INTO reservations (id, user_id, tenant_id, user_tier, device_id, status, starts_at, ends_at, blocked_until, remind_at)
       SELECT md5('v' || n)::uuid, 'user-' || n % ${BOOKERS}, 'tenant-' || n % 100, 'standard', turns.id,
         CASE WHEN at > now() THEN 'confirmed' ELSE 'completed' END, at, at + interval '50 minutes', at + interval '55 minutes', at - interval '15 minutes'
       FROM (SELECT n, now() + make_interval(hours => n / ${BOOKERS} - $1 / ${BOOKERS} * 3 / 4, mins => 10) AS at FROM generate_series(0, $1::int - 1) AS n) AS made
       JOIN turns ON turns.turn = n % $2::int`,
      [reservations, devices],
    );
    await client.query(`
      INSERT INTO extensions (id, allocation_id, extend_count, minutes, total_minutes, old_expires_at, new_expires_at, automatic, balance_unchecked, extended_by)
      SELECT id, id, 1, 60, 120, expires_at - interval '60 minutes', expires_at, false, false, 'bench' FROM allocations`);
    await client.query('VACUUM (ANALYZE) allocations, reservations, extensions, devices');
  } finally {
    await client.end();
  }
}
