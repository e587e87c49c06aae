import { Prisma } from '../../prisma/generated/client.ts';
import type { ReservationStatus } from '../reservation/reservation.ts';
import { partsOf, type Reach, withinReach } from './reach.ts';
import { HOLDS_TIME, RESERVATION, type ReservationRecord } from './reservation-rows.ts';
import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** A reservation with the device it is on and, while it runs, the way there. */
export interface ReservationWhole extends ReservationRecord {
  readonly deviceName: string | null;
  readonly adbHost: string | null;
  readonly adbPort: number | null;
  readonly fence: bigint | null;
}

/** Which reservations to list. Times bound the start: from inclusive, to exclusive. */
export interface ReservationFilter {
  readonly userId?: string | undefined;
  readonly status?: ReservationStatus | undefined;
  readonly deviceId?: string | undefined;
  readonly seriesId?: string | undefined;
  readonly startTimeFrom?: Date | undefined;
  readonly startTimeTo?: Date | undefined;
}

/** Where a page begins: after the last one of the page before, or so many further on. */
export type ReservationPage =
  | { readonly after: { readonly startsAt: Date; readonly reservationId: string } | undefined }
  | { readonly skip: number };

/** Counting stops here. */
export const RESERVATION_COUNT_LIMIT = 100_000;

/** One reservation; nothing if there is none within reach. */
export async function readReservation(store: Store, reservationId: string, reach: Reach): Promise<ReservationWhole | undefined> {
  const rows = await translated(
    store.prisma.$queryRaw<ReservationWhole[]>`
      SELECT ${RESERVATION}, d.name AS "deviceName", h.adb_host AS "adbHost", h.adb_port AS "adbPort", h.fence
      FROM reservations r LEFT JOIN devices d ON d.id = r.device_id LEFT JOIN devices h ON h.id = r.device_id AND h.allocation_id = r.allocation_id
      WHERE r.id = ${reservationId}::uuid AND ${withinReach(reach, 'r')}`,
  );
  return rows[0];
}

/** Latest start first. @param limit  most items of this page; one more is read to know whether there is a next one */
export async function listReservations(
  store: Store,
  filter: ReservationFilter,
  reach: Reach,
  limit: number,
  page: ReservationPage,
): Promise<{ items: ReservationRecord[]; more: boolean }> {
  const after = 'after' in page ? page.after : undefined;
  const later =
    after === undefined
      ? Prisma.sql`true`
      : Prisma.sql`(r.starts_at, r.id) < (${after.startsAt}::timestamptz, ${after.reservationId}::uuid)`;
  const skip = 'skip' in page ? page.skip : 0;
  const latest = (part: Prisma.Sql) => Prisma.sql`
    (SELECT r.id, r.starts_at FROM reservations r WHERE ${matches(filter, part)} AND ${later}
     ORDER BY r.starts_at DESC, r.id DESC LIMIT ${skip + limit + 1}::int)`;
  const rows = await translated(
    store.prisma.$queryRaw<ReservationRecord[]>`
      SELECT ${RESERVATION} FROM (
        SELECT id FROM (${eachOf(reach, latest)}) AS found ORDER BY starts_at DESC, id DESC LIMIT ${limit + 1}::int OFFSET ${skip}::int) AS page
      JOIN reservations r ON r.id = page.id ORDER BY r.starts_at DESC, r.id DESC`,
  );
  return { items: rows.slice(0, limit), more: rows.length > limit };
}

/** How many match, counted up to `RESERVATION_COUNT_LIMIT`. */
export async function countReservations(store: Store, filter: ReservationFilter, reach: Reach): Promise<number> {
  const some = (part: Prisma.Sql) =>
    Prisma.sql`(SELECT 1 FROM reservations r WHERE ${matches(filter, part)} LIMIT ${RESERVATION_COUNT_LIMIT}::int)`;
  const rows = await translated(
    store.prisma.$queryRaw<{ total: number }[]>`
      SELECT least(count(*), ${RESERVATION_COUNT_LIMIT}::int)::int AS total FROM (${eachOf(reach, some)}) AS matching`,
  );
  return rows[0]?.total ?? 0;
}

/** Reservations of a user that hold their time and overlap this one, by start; at most 100. */
export async function conflictsOf(store: Store, userId: string, reach: Reach, from: Date, to: Date): Promise<ReservationRecord[]> {
  return translated(
    store.prisma.$queryRaw<ReservationRecord[]>`
      SELECT ${RESERVATION} FROM reservations r WHERE r.user_id = ${userId} AND ${HOLDS_TIME} AND ${withinReach(reach, 'r')}
        AND tstzrange(r.starts_at, r.ends_at) && tstzrange(${from}::timestamptz, ${to}::timestamptz)
      ORDER BY r.starts_at LIMIT 100`,
  );
}

/** Counts by state, what starts within a day, and of those that have begun in 30 days: how many in time, and no-shows. */
export interface ReservationStats {
  readonly total: number;
  readonly byStatus: Readonly<Record<string, number>>;
  readonly startingWithin24h: number;
  readonly startedLast30Days: number;
  readonly noShowsLast30Days: number;
  readonly startDelayP95Ms: number | null;
}

export async function readReservationStats(store: Store, reach: Reach): Promise<ReservationStats> {
  const mine = withinReach(reach, 'r');
  const rows = await translated(
    store.prisma.$queryRaw<
      { by_status: Record<string, number> | null; soon: number; started: number; no_shows: number; delay: number | null }[]
    >`
      SELECT (SELECT json_object_agg(status, n) FROM (SELECT r.status, count(*)::int AS n FROM reservations r WHERE ${mine} GROUP BY r.status) s) AS by_status,
        (SELECT count(*)::int FROM reservations r WHERE r.status IN ('pending', 'confirmed') AND r.starts_at < now() + interval '1 day' AND ${mine}) AS soon,
        begun.started, begun.no_shows, begun.delay
      FROM (SELECT count(*)::int AS started, count(*) FILTER (WHERE r.failure_code = 'NO_SHOW')::int AS no_shows,
          percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM a.allocated_at - r.starts_at) * 1000) AS delay
        FROM reservations r JOIN allocations a ON a.id = r.allocation_id WHERE r.starts_at > now() - interval '30 days' AND r.starts_at <= now() AND ${mine}) begun`,
  );
  const row = rows[0];
  const byStatus = row?.by_status ?? {};
  return {
    total: Object.values(byStatus).reduce((sum, count) => sum + count, 0),
    byStatus,
    startingWithin24h: row?.soon ?? 0,
    startedLast30Days: row?.started ?? 0,
    noShowsLast30Days: row?.no_shows ?? 0,
    startDelayP95Ms: row?.delay ?? null,
  };
}

/** The holder has touched the device of a reservation: it is no no-show. Nothing happens to what is no running reservation. */
export async function noteShown(store: Store, allocationId: string): Promise<void> {
  await translated(
    store.prisma.$executeRaw`
      UPDATE reservations SET shown_at = now() WHERE allocation_id = ${allocationId}::uuid AND status = 'executing' AND shown_at IS NULL`,
  );
}

/** One statement of what `select` makes of each part of the reach. */
function eachOf(reach: Reach, select: (part: Prisma.Sql) => Prisma.Sql): Prisma.Sql {
  return Prisma.join(partsOf(reach, 'r').map(select), ' UNION ALL ');
}

function matches(filter: ReservationFilter, part: Prisma.Sql): Prisma.Sql {
  const conditions = [part];
  if (filter.userId !== undefined) conditions.push(Prisma.sql`r.user_id = ${filter.userId}`);
  if (filter.status !== undefined) conditions.push(Prisma.sql`r.status = ${filter.status}`);
  if (filter.deviceId !== undefined) conditions.push(Prisma.sql`r.device_id = ${filter.deviceId}::uuid`);
  if (filter.seriesId !== undefined) conditions.push(Prisma.sql`r.series_id = ${filter.seriesId}::uuid`);
  if (filter.startTimeFrom !== undefined) conditions.push(Prisma.sql`r.starts_at >= ${filter.startTimeFrom}::timestamptz`);
  if (filter.startTimeTo !== undefined) conditions.push(Prisma.sql`r.starts_at < ${filter.startTimeTo}::timestamptz`);
  return Prisma.join(conditions, ' AND ');
}
