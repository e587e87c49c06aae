import { FREE } from './device-filters.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/**
 * Takes the snapshots of the whole hours since the last one, at most a day back: what happened in each hour, and how things
 * stand now (`taken_at`). A wait belongs to the hour it ended in, however long it was. An hour has one snapshot.
 *
 * @returns how many were taken
 * @throws SchedulerError STORE_UNAVAILABLE
 */
export async function takeSnapshots(store: Store): Promise<number> {
  return translated(store.prisma.$executeRaw`
    WITH hours AS (
      SELECT hour, hour + interval '1 hour' AS until FROM generate_series(
        greatest((SELECT max(hour) + interval '1 hour' FROM stats_snapshots), date_trunc('hour', now(), 'UTC') - interval '1 day',
                 CASE WHEN EXISTS (SELECT FROM stats_snapshots) THEN NULL ELSE date_trunc('hour', now(), 'UTC') - interval '1 hour' END),
        date_trunc('hour', now(), 'UTC') - interval '1 hour', interval '1 hour') AS series(hour)
    ), stand AS MATERIALIZED (
      SELECT (SELECT count(*)::int FROM allocations WHERE status = 'allocated') AS live,
             (SELECT count(*)::int FROM requests WHERE status = 'waiting') AS waiting,
             (SELECT count(*)::int FROM devices WHERE status <> 'deleted') AS devices,
             (SELECT count(*)::int FROM devices d WHERE ${FREE}) AS available
    )
    INSERT INTO stats_snapshots (hour, granted, refused, released, expired, wait_p50_ms, wait_p95_ms, live_allocations, waiting_requests, devices, available_devices)
    SELECT h.hour,
      (SELECT count(*) FROM allocations a WHERE a.allocated_at >= h.hour AND a.allocated_at < h.until),
      (SELECT count(*) FROM requests r WHERE r.decided_at >= h.hour AND r.decided_at < h.until AND r.allocation_id IS NULL AND r.status = 'refused'),
      ended.released, ended.expired, waits.p50, waits.p95, stand.live, stand.waiting, stand.devices, stand.available
    FROM hours h CROSS JOIN stand
    CROSS JOIN LATERAL (
      SELECT count(*) FILTER (WHERE a.status = 'released') AS released, count(*) FILTER (WHERE a.status = 'expired') AS expired
      FROM allocations a WHERE a.status <> 'allocated' AND a.ended_at >= h.hour AND a.ended_at < h.until) ended
    CROSS JOIN LATERAL (
      SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) AS p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY waited) AS p95
      FROM (SELECT extract(epoch FROM a.allocated_at - r.created_at)::float8 * 1000 AS waited FROM allocations a JOIN requests r ON r.id = a.request_id
            WHERE a.allocated_at >= h.hour AND a.allocated_at < h.until) w) waits
    ON CONFLICT (hour) DO NOTHING`);
}
