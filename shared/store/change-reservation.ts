import type { Refusal } from '../allocation/decide-eligibility.ts';
import { reservationEvent } from '../events.ts';
import type { ChangedReservation } from '../reservation/asked-reservation.ts';
import { decideChange } from '../reservation/decide-change.ts';
import { decideReserve } from '../reservation/decide-reserve.ts';
import { type Booking, fits, isBookable, lockBookable, lockDevice } from './bookable-devices.ts';
import { type Reach, withinReach } from './reach.ts';
import { bookingOf, RESERVATION, type ReservationRecord, tell } from './reservation-rows.ts';
import {
  type BookingRules,
  CONTENDED,
  lockUser,
  type ReserveOutcome,
  remindAt,
  toBooking,
  untilDecided,
  type WantedTime,
  whyNot,
} from './reserve.ts';
import type { Store, Transaction } from './store.ts';

/** What a change came to, and which devices have time to give again by it; undefined: there is no such reservation within reach. */
export type ChangeOutcome =
  | (Extract<ReserveOutcome, { status: 'reserved' }> & { readonly freed: readonly string[] })
  | Extract<ReserveOutcome, { status: 'refused' }>
  | undefined;

const MINUTE_MS = 60_000;

/**
 * Changes a reservation that has not begun; every rule is checked again. It keeps its device if that still fits.
 *
 * @throws SchedulerError STORE_UNAVAILABLE, OVERLOADED
 */
export async function changeReservation(
  store: Store,
  reservationId: string,
  reach: Reach,
  change: ChangedReservation,
  rules: BookingRules,
): Promise<ChangeOutcome> {
  return untilDecided(() => store.transaction((tx) => applyChange(tx, reservationId, reach, change, rules)));
}

async function applyChange(
  tx: Transaction,
  reservationId: string,
  reach: Reach,
  change: ChangedReservation,
  rules: BookingRules,
): Promise<ChangeOutcome | typeof CONTENDED> {
  const seen = await find(tx, reservationId, reach);
  if (seen === undefined) return undefined;
  const facts = await lockUser(tx, { ...seen, ...merged(seen, change) }, rules);
  const current = await lockRow(tx, reservationId);
  if (current === undefined) return CONTENDED;
  const closed = decideChange(current.status);
  if (closed !== undefined) return { status: 'refused', ...closed };
  // What was merged before the lock may be out of date.
  if (current.updatedAt.getTime() !== seen.updatedAt.getTime()) return CONTENDED;
  const wish = merged(current, change);
  const decision = decideReserve({ ...facts, startsAt: wish.startsAt });
  if (decision.kind === 'refused') return { status: 'refused', ...decision.refusal };
  const booking = toBooking({ ...current, ...wish }, facts.caps, rules);
  const changed = (await keepDevice(tx, current, wish, booking, facts.now)) ?? (await moveDevice(tx, current, wish, booking, facts.now));
  if (changed === 'none') return { status: 'refused', ...(await whyNot(tx, booking, wish, facts.ownBusy)) };
  return changed === CONTENDED ? CONTENDED : { status: 'reserved', reservation: changed, freed: freedBy(current, changed) };
}

/** The device that has time again which it had not before the change: it was left, or is held for less of it. */
function freedBy(before: ReservationRecord, after: ReservationRecord): readonly string[] {
  if (before.deviceId === null) return [];
  const covered = after.deviceId === before.deviceId && after.startsAt <= before.startsAt && after.blockedUntil >= before.blockedUntil;
  return covered ? [] : [before.deviceId];
}

function merged(current: ReservationRecord, change: ChangedReservation): WantedTime {
  const said = <T>(value: T | null | undefined, before: T | null) => (value === undefined ? before : value);
  return {
    startsAt: change.reservedStartTime ?? current.startsAt,
    durationMinutes: change.durationMinutes ?? (current.endsAt.getTime() - current.startsAt.getTime()) / MINUTE_MS,
    deviceType: said(change.deviceType, current.deviceType),
    minCpu: said(change.minCpu, current.minCpu),
    minMemory: said(change.minMemory, current.minMemory),
    wantedDeviceId: said(change.deviceId, current.wantedDeviceId),
    remindBeforeMinutes: change.remindBeforeMinutes ?? current.remindBeforeMinutes,
  };
}

async function keepDevice(tx: Transaction, current: ReservationRecord, wish: WantedTime, booking: Booking, now: Date) {
  if (current.deviceId === null) return undefined;
  const { deviceId } = current;
  if (booking.requirement.deviceId !== null && booking.requirement.deviceId !== deviceId) return undefined;
  await lockDevice(tx, deviceId);
  const own: Booking = { ...booking, requirement: { ...booking.requirement, deviceId } };
  return write(tx, current, wish, own, deviceId, now);
}

async function moveDevice(tx: Transaction, current: ReservationRecord, wish: WantedTime, booking: Booking, now: Date) {
  const deviceId = await lockBookable(tx, booking);
  if (deviceId === undefined) return 'none';
  return (await write(tx, current, wish, booking, deviceId, now)) ?? CONTENDED;
}

async function write(
  tx: Transaction,
  current: ReservationRecord,
  wish: WantedTime,
  booking: Booking,
  deviceId: string,
  now: Date,
): Promise<ReservationRecord | undefined> {
  const { reservationId, traceId } = current;
  const moved = wish.startsAt.getTime() !== current.startsAt.getTime();
  const told = reservationEvent('scheduler.reservation.updated', bookingOf({ ...current, ...booking, deviceId }), {});
  const [row] = await tx.$queryRaw<ReservationRecord[]>`
    WITH changed AS (
      UPDATE reservations r SET status = 'confirmed', device_id = d.id, starts_at = ${booking.startsAt}::timestamptz, ends_at = ${booking.endsAt}::timestamptz,
        blocked_until = ${booking.blockedUntil}::timestamptz, device_type = ${wish.deviceType}, min_cpu = ${wish.minCpu}::int, min_memory = ${wish.minMemory}::int,
        wanted_device_id = ${wish.wantedDeviceId}::uuid, remind_before_minutes = ${wish.remindBeforeMinutes}::int, remind_at = ${remindAt(wish, now)}::timestamptz,
        reminded_at = CASE WHEN ${moved} THEN NULL ELSE r.reminded_at END, updated_at = clock_timestamp()
      FROM devices d
      WHERE r.id = ${reservationId}::uuid AND r.status IN ('pending', 'confirmed') AND d.id = ${deviceId}::uuid AND ${fits(booking)} AND ${isBookable(booking)}
      RETURNING r.*
    ), told AS (${tell([{ of: reservationId, traceId, events: [told] }])})
    SELECT ${RESERVATION} FROM changed r`;
  return row;
}

/** Cancels a reservation that has not begun. Undefined: there is none within reach. */
export async function cancelReservation(store: Store, reservationId: string, reach: Reach, reason: string | null): Promise<ChangeOutcome> {
  return store.transaction(async (tx) => {
    const found = await find(tx, reservationId, reach);
    const current = found === undefined ? undefined : await lockRow(tx, reservationId);
    if (current === undefined) return undefined;
    const closed = decideChange(current.status);
    if (closed !== undefined) return { status: 'refused', ...closed };
    const [reservation] = await cancelAll(tx, [current], reason);
    if (reservation === undefined) throw new Error(`reservation ${reservationId} was locked and is gone`);
    return { status: 'reserved', reservation, freed: devicesOf([reservation]) };
  });
}

/** What cancelling a series came to. `reservations`: the occurrences that were cancelled; `freed`: the devices they were booked on. */
export type CancelSeriesOutcome =
  | {
      readonly status: 'cancelled';
      readonly seriesId: string;
      readonly reservations: readonly ReservationRecord[];
      readonly freed: readonly string[];
    }
  | ({ readonly status: 'refused' } & Refusal)
  | undefined;

/** Cancels the series a reservation belongs to: no new occurrences, and those that have not begun are cancelled. */
export async function cancelSeries(store: Store, reservationId: string, reach: Reach, reason: string | null): Promise<CancelSeriesOutcome> {
  return store.transaction(async (tx) => {
    const found = await find(tx, reservationId, reach);
    if (found === undefined) return undefined;
    const { seriesId } = found;
    if (seriesId === null)
      return { status: 'refused', code: 'STATE_CONFLICT', reason: 'it belongs to no series', details: { status: found.status } };
    await tx.$executeRaw`UPDATE reservation_series SET status = 'cancelled', next_starts_at = NULL, updated_at = now() WHERE id = ${seriesId}::uuid AND status <> 'cancelled'`;
    const open = await tx.$queryRaw<ReservationRecord[]>`
      SELECT ${RESERVATION} FROM reservations r WHERE r.series_id = ${seriesId}::uuid AND r.status IN ('pending', 'confirmed') ORDER BY r.id FOR UPDATE`;
    const reservations = await cancelAll(tx, open, reason);
    const inOrder = reservations.toSorted((a, b) => a.startsAt.getTime() - b.startsAt.getTime());
    return { status: 'cancelled', seriesId, reservations: inOrder, freed: devicesOf(inOrder) };
  });
}

function devicesOf(rows: readonly ReservationRecord[]): string[] {
  return [...new Set(rows.flatMap(({ deviceId }) => deviceId ?? []))];
}

/** Cancels locked rows that are open. */
async function cancelAll(tx: Transaction, rows: readonly ReservationRecord[], cancelReason: string | null): Promise<ReservationRecord[]> {
  if (rows.length === 0) return [];
  const told = rows.map((row) => ({
    of: row.reservationId,
    traceId: row.traceId,
    events: [reservationEvent('scheduler.reservation.cancelled', bookingOf(row), { cancelReason })],
  }));
  return tx.$queryRaw<ReservationRecord[]>`
    WITH changed AS (
      UPDATE reservations r SET status = 'cancelled', cancel_reason = ${cancelReason}, updated_at = clock_timestamp()
      WHERE r.id = ANY(${rows.map(({ reservationId }) => reservationId)}::uuid[]) AND r.status IN ('pending', 'confirmed')
      RETURNING r.*
    ), told AS (${tell(told)})
    SELECT ${RESERVATION} FROM changed r`;
}

async function find(tx: Transaction, reservationId: string, reach: Reach): Promise<ReservationRecord | undefined> {
  const [row] = await tx.$queryRaw<ReservationRecord[]>`
    SELECT ${RESERVATION} FROM reservations r WHERE r.id = ${reservationId}::uuid AND ${withinReach(reach, 'r')}`;
  return row;
}

async function lockRow(tx: Transaction, reservationId: string): Promise<ReservationRecord | undefined> {
  const [row] = await tx.$queryRaw<
    ReservationRecord[]
  >`SELECT ${RESERVATION} FROM reservations r WHERE r.id = ${reservationId}::uuid FOR UPDATE`;
  return row;
}
