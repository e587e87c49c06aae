import { hash } from 'node:crypto';
import type { Tier } from '../allocation/tier.ts';
import { parseTolerantly } from '../read-tolerantly.ts';
import { type Recurrence, recurrence as recurrenceSchema, type WantedDevice, wantedDevice } from '../reservation/asked-reservation.ts';
import type { Occurrence } from '../reservation/occurrences.ts';
import { bookingOf, RESERVATION, type ReservationRecord, tell, toldOfFailure } from './reservation-rows.ts';
import { type BookingRules, type NewReservation, type ReserveOutcome, reserve } from './reserve.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

/** A booking that comes again. */
export interface Series {
  readonly seriesId: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: Tier;
  readonly asked: WantedDevice;
  readonly recurrence: Recurrence;
  readonly firstStartsAt: Date;
  /** The first occurrence that has no row yet. */
  readonly nextIndex: number;
}

/** Remembers a series before its occurrences are made; a repeat with the same id changes nothing. */
export async function insertSeries(store: Store, series: Series): Promise<void> {
  const { seriesId, userId, tenantId, tier, asked, recurrence, firstStartsAt, nextIndex } = series;
  await translated(store.prisma.$executeRaw`
    INSERT INTO reservation_series (id, user_id, tenant_id, user_tier, asked, recurrence, first_starts_at, next_index, next_starts_at)
    VALUES (${seriesId}::uuid, ${userId}, ${tenantId}, ${tier}, ${JSON.stringify(asked)}::jsonb, ${JSON.stringify(recurrence)}::jsonb,
      ${firstStartsAt}::timestamptz, ${nextIndex}::int, ${firstStartsAt}::timestamptz)
    ON CONFLICT (id) DO NOTHING`);
}

/** Takes back a series none of whose occurrences could be had. */
export async function dropSeries(store: Store, seriesId: string): Promise<void> {
  await translated(store.prisma.$executeRaw`
    DELETE FROM reservation_series s WHERE s.id = ${seriesId}::uuid AND NOT EXISTS (SELECT FROM reservations r WHERE r.series_id = s.id)`);
}

/** The occurrences up to here have rows; `next`: the one after them, undefined: there is none. A cancelled series stays cancelled. */
export async function noteExpanded(store: Store, seriesId: string, next: Occurrence | undefined): Promise<void> {
  await translated(store.prisma.$executeRaw`
    UPDATE reservation_series SET next_index = greatest(next_index, ${next?.index ?? 0}::int), next_starts_at = ${next?.startsAt ?? null}::timestamptz,
      status = CASE WHEN ${next === undefined} THEN 'ended' ELSE 'active' END, attempts = 0, last_error = NULL, updated_at = now()
    WHERE id = ${seriesId}::uuid AND status = 'active'`);
}

/** Notes that a series could not be carried on, and puts it off for a while that grows with every attempt, an hour at most. */
export async function noteSeriesFault(store: Store, seriesId: string, problem: string): Promise<void> {
  await translated(store.prisma.$executeRaw`
    UPDATE reservation_series SET attempts = attempts + 1, last_error = ${problem}, next_attempt_at = now() + least(attempts + 1, 60) * interval '1 minute', updated_at = now()
    WHERE id = ${seriesId}::uuid`);
}

interface SeriesRow {
  id: string;
  user_id: string;
  tenant_id: string | null;
  user_tier: Tier;
  asked: unknown;
  recurrence: unknown;
  first_starts_at: Date;
  next_index: number;
}

/** Ids of series whose next occurrence starts before the horizon, and the horizon, soonest first. */
export async function seriesDue(store: Store, horizonDays: number, limit: number): Promise<{ ids: string[]; horizon: Date }> {
  const [row] = await translated(
    store.prisma.$queryRaw<{ ids: string[] | null; horizon: Date }[]>`
      SELECT now() + make_interval(days => ${horizonDays}::int) AS horizon, (SELECT array_agg(id) FROM (
        SELECT id FROM reservation_series WHERE status = 'active' AND next_starts_at < now() + make_interval(days => ${horizonDays}::int) AND next_attempt_at <= now()
        ORDER BY next_starts_at, id LIMIT ${limit}::int) due) AS ids`,
  );
  if (row === undefined) throw new Error('a SELECT without FROM returned no row');
  return { ids: row.ids ?? [], horizon: row.horizon };
}

/** What a series is begun by. */
export interface Outlook {
  readonly now: Date;
  /** `now`, so many days on. */
  readonly horizon: Date;
  /** Whether the series is there already: it is asked for again. */
  readonly known: boolean;
}

/** The clock of the database, and whether there is such a series. */
export async function readOutlook(store: Store, seriesId: string, horizonDays: number): Promise<Outlook> {
  const [row] = await translated(
    store.prisma.$queryRaw<Outlook[]>`
      SELECT now() AS now, now() + make_interval(days => ${horizonDays}::int) AS horizon,
        EXISTS (SELECT FROM reservation_series WHERE id = ${seriesId}::uuid) AS known`,
  );
  if (row === undefined) throw new Error('a SELECT without FROM returned no row');
  return row;
}

/**
 * One active series.
 *
 * @throws ZodError if what the row holds is no series: it is poison, and its row says so
 */
export async function readSeries(store: Store, seriesId: string): Promise<Series | undefined> {
  const [row] = await translated(
    store.prisma.$queryRaw<SeriesRow[]>`
      SELECT id, user_id, tenant_id, user_tier, asked, recurrence, first_starts_at, next_index FROM reservation_series WHERE id = ${seriesId}::uuid AND status = 'active'`,
  );
  if (row === undefined) return undefined;
  return {
    seriesId: row.id,
    userId: row.user_id,
    tenantId: row.tenant_id,
    tier: row.user_tier,
    asked: parseTolerantly(wantedDevice, row.asked),
    recurrence: parseTolerantly(recurrenceSchema, row.recurrence),
    firstStartsAt: row.first_starts_at,
    nextIndex: row.next_index,
  };
}

/** Books one occurrence. Its id follows from the series, so that a repeat finds it. */
export function reserveOccurrence(
  store: Store,
  series: Series,
  occurrence: Occurrence,
  traceId: string | null,
  rules: BookingRules,
): Promise<ReserveOutcome> {
  return reserve(store, toReservation(series, occurrence, traceId), rules);
}

/**
 * Writes an occurrence that could not be had as a failed reservation: everybody sees which ones are missing, and the user is told.
 */
export async function writeMissed(
  store: Store,
  series: Series,
  occurrence: Occurrence,
  missed: { readonly code: string; readonly reason: string },
  traceId: string | null,
): Promise<ReservationRecord | undefined> {
  return store.transaction((tx) => insertMissed(tx, toReservation(series, occurrence, traceId), missed));
}

async function insertMissed(tx: Transaction, wish: NewReservation, { code, reason }: { readonly code: string; readonly reason: string }) {
  const { reservationId, userId, tenantId, startsAt, series, traceId } = wish;
  const endsAt = new Date(startsAt.getTime() + wish.durationMinutes * 60_000);
  const booked = bookingOf({ reservationId, userId, tenantId, deviceId: null, seriesId: series?.seriesId ?? null, startsAt, endsAt });
  const [row] = await tx.$queryRaw<ReservationRecord[]>`
    WITH changed AS (
      INSERT INTO reservations AS r (id, user_id, tenant_id, user_tier, status, starts_at, ends_at, blocked_until, device_type, min_cpu, min_memory,
        wanted_device_id, remind_before_minutes, series_id, series_index, trace_id, failure_code, failure_reason)
      VALUES (${reservationId}::uuid, ${userId}, ${tenantId}, ${wish.tier}, 'failed', ${startsAt}::timestamptz, ${endsAt}::timestamptz, ${endsAt}::timestamptz,
        ${wish.deviceType}, ${wish.minCpu}::int, ${wish.minMemory}::int, ${wish.wantedDeviceId}::uuid, ${wish.remindBeforeMinutes}::int,
        ${series?.seriesId ?? null}::uuid, ${series?.index ?? null}::int, ${traceId}, ${code}, ${reason})
      ON CONFLICT (id) DO NOTHING
      RETURNING r.*
    ), told AS (${tell([toldOfFailure(booked, { code, reason, queueId: null }, traceId)])})
    SELECT ${RESERVATION} FROM changed r`;
  return row;
}

function toReservation(
  { seriesId, userId, tenantId, tier, asked }: Series,
  { index, startsAt }: Occurrence,
  traceId: string | null,
): NewReservation {
  return {
    reservationId: occurrenceId(seriesId, index),
    userId,
    tenantId,
    tier,
    startsAt,
    durationMinutes: asked.durationMinutes,
    deviceType: asked.deviceType ?? null,
    minCpu: asked.minCpu ?? null,
    minMemory: asked.minMemory ?? null,
    wantedDeviceId: asked.deviceId ?? null,
    remindBeforeMinutes: asked.remindBeforeMinutes,
    series: { seriesId, index },
    traceId,
  };
}

function occurrenceId(seriesId: string, index: number): string {
  const hex = hash('sha256', `occurrence:${seriesId}:${index}`, 'hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
