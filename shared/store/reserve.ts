import type { Refusal } from '../allocation/decide-eligibility.ts';
import type { UserFacts } from '../allocation/facts.ts';
import type { Tier } from '../allocation/tier.ts';
import { SchedulerError } from '../errors.ts';
import type { Caps } from '../placement/requirement.ts';
import { NO_CAPS } from '../placement/requirement.ts';
import { type Limits, largestFitting, NO_USE } from '../quota/limits.ts';
import { decideCapacity } from '../reservation/decide-capacity.ts';
import { decideReserve, type OwnConflict } from '../reservation/decide-reserve.ts';
import type { Busy } from '../reservation/free-slots.ts';
import { type Booking, isBookable, lockBookable, readCapacity } from './bookable-devices.ts';
import { bookingOf, RESERVATION, type ReservationRecord, tell, toldOfCreation } from './reservation-rows.ts';
import type { Store, Transaction } from './store.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/** What bookings go by. */
export interface BookingRules {
  /** Kept free after each reservation and before it, s. */
  readonly gapSeconds: number;
}

/** What of a device is wanted, for when. */
export interface WantedTime {
  readonly startsAt: Date;
  readonly durationMinutes: number;
  readonly deviceType: 'phone' | 'tablet' | null;
  readonly minCpu: number | null;
  readonly minMemory: number | null;
  readonly wantedDeviceId: string | null;
  readonly remindBeforeMinutes: number;
}

/** A reservation to be made. Its id makes a repeat harmless. */
export interface NewReservation extends WantedTime {
  readonly reservationId: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: Tier;
  readonly series: { readonly seriesId: string; readonly index: number } | null;
  readonly traceId: string | null;
}

/** The closed set of answers. */
export type ReserveOutcome =
  | { readonly status: 'reserved'; readonly reservation: ReservationRecord }
  | ({ readonly status: 'refused' } & Refusal);

/** A device was taken between the look and the write: look again. */
export const CONTENDED = 'contended';

const MOST_TRIES = 100;

/**
 * Books a device: picks one and writes the reservation in one transaction. It is confirmed with its device or refused; a
 * repeat with the same id gives what was booked before.
 *
 * @throws SchedulerError STORE_UNAVAILABLE; OVERLOADED if others were faster a hundred times
 */
export async function reserve(store: Store, wish: NewReservation, rules: BookingRules): Promise<ReserveOutcome> {
  return untilDecided(() => store.transaction((tx) => book(tx, wish, rules)));
}

/** Tries until somebody else is not faster. Each try that is lost means that another one was booked, so it ends. */
export async function untilDecided<T>(attempt: () => Promise<T | typeof CONTENDED>): Promise<T> {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const outcome = await attempt();
    if (outcome !== CONTENDED) return outcome;
  }
  throw new SchedulerError('OVERLOADED', { messages: ['Too many are booking the same devices at once.'], retryAfter: 1 });
}

async function book(tx: Transaction, wish: NewReservation, rules: BookingRules): Promise<ReserveOutcome | typeof CONTENDED> {
  const facts = await lockUser(tx, wish, rules);
  const known = await readById(tx, wish.reservationId);
  if (known !== undefined) return { status: 'reserved', reservation: known };
  if (wish.series !== null && (await isCancelled(tx, wish.series.seriesId))) return { status: 'refused', ...SERIES_CANCELLED };
  const decision = decideReserve({ ...facts, startsAt: wish.startsAt });
  if (decision.kind === 'refused') return { status: 'refused', ...decision.refusal };
  const booking = toBooking(wish, facts.caps, rules);
  const deviceId = await lockBookable(tx, booking);
  if (deviceId === undefined) return { status: 'refused', ...(await whyNot(tx, booking, wish, facts.ownBusy)) };
  const reservation = await insert(tx, wish, booking, deviceId, facts.now);
  return reservation === undefined ? CONTENDED : { status: 'reserved', reservation };
}

const SERIES_CANCELLED: Refusal = {
  code: 'STATE_CONFLICT',
  reason: 'the series it belongs to is cancelled',
  details: { status: 'cancelled' },
};

/** Whether a series is cancelled; until the transaction ends it cannot be: whoever cancels it then sees what is booked here. */
async function isCancelled(tx: Transaction, seriesId: string): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ status: string }[]>`SELECT status FROM reservation_series WHERE id = ${seriesId}::uuid FOR SHARE`;
  return row?.status === 'cancelled';
}

/** The time and the device of a wish, as one booking. */
export function toBooking(
  wish: WantedTime & { readonly reservationId: string; readonly tenantId: string | null },
  caps: Caps,
  { gapSeconds }: BookingRules,
): Booking {
  const { startsAt, durationMinutes } = wish;
  const endsAt = new Date(startsAt.getTime() + durationMinutes * MINUTE_MS);
  return {
    reservationId: wish.reservationId,
    requirement: {
      tenantId: wish.tenantId,
      deviceType: wish.deviceType,
      deviceId: wish.wantedDeviceId,
      minCpu: wish.minCpu ?? 0,
      minMemoryMB: wish.minMemory ?? 0,
      minStorageMB: 0,
      durationMinutes,
      caps,
    },
    startsAt,
    endsAt,
    blockedUntil: new Date(endsAt.getTime() + gapSeconds * SECOND_MS),
    gapSeconds,
  };
}

/** Says why nothing could be booked, with what is in the way and the next free slots. */
export async function whyNot(
  tx: Transaction,
  booking: Booking,
  { durationMinutes }: WantedTime,
  ownBusy: readonly Busy[],
): Promise<Refusal> {
  const capacity = await readCapacity(tx, booking);
  return decideCapacity({ ...capacity, ownBusy }, { ...booking, durationMinutes });
}

/** When to remind; nothing if that is over when it is booked: nobody needs to be told what they have just done. */
export function remindAt({ startsAt, remindBeforeMinutes }: WantedTime, now: Date): Date | null {
  const at = new Date(startsAt.getTime() - remindBeforeMinutes * MINUTE_MS);
  return remindBeforeMinutes === 0 || at <= now ? null : at;
}

/** What is read under the user's lock. */
export interface BookerFacts {
  readonly now: Date;
  readonly user: Pick<UserFacts, 'state' | 'inArrears'>;
  readonly caps: Caps;
  /** Reservations of the user that overlap the wish, and all from its start on. */
  readonly ownConflicts: readonly OwnConflict[];
  readonly ownBusy: readonly Busy[];
}

interface OwnRow {
  id: string;
  from_ms: number;
  to_ms: number;
}

/**
 * Locks the user, so that nobody books for them at the same time, then reads what is known of them. A user nobody has seen
 * gets a row: the lock needs one.
 */
export async function lockUser(
  tx: Transaction,
  wish: WantedTime & { readonly reservationId: string; readonly userId: string; readonly tenantId: string | null },
  rules: BookingRules,
): Promise<BookerFacts> {
  const { userId, tenantId, reservationId, startsAt } = wish;
  await tx.$executeRaw`
    INSERT INTO users AS u (id, tenant_id) VALUES (${userId}, ${tenantId})
    ON CONFLICT (id) DO UPDATE SET tenant_id = excluded.tenant_id, updated_at = now() WHERE u.tenant_id IS NULL AND excluded.tenant_id IS NOT NULL`;
  const [row] = await tx.$queryRaw<
    { now: Date; state: UserFacts['state']; in_arrears: boolean; limits: Limits | null; own: OwnRow[] | null }[]
  >`
    SELECT date_trunc('milliseconds', now()) AS now, u.state, u.arrears_since IS NOT NULL AS in_arrears, u.limits,
      (SELECT json_agg(o) FROM (
        SELECT r.id, extract(epoch FROM r.starts_at) * 1000 AS from_ms, extract(epoch FROM r.ends_at) * 1000 AS to_ms FROM reservations r
        WHERE r.user_id = u.id AND r.status IN ('pending', 'confirmed', 'executing') AND r.id <> ${reservationId}::uuid
          AND tstzrange(r.starts_at, r.ends_at) && tstzrange(${startsAt}::timestamptz, NULL)
        ORDER BY r.starts_at LIMIT 1000) o) AS own
    FROM users u WHERE u.id = ${userId}`;
  if (row === undefined) throw new Error(`user ${userId} was locked and is gone`);
  const { endsAt } = toBooking(wish, NO_CAPS, rules);
  const own = (row.own ?? []).map(({ id, from_ms, to_ms }) => ({ reservationId: id, from: new Date(from_ms), to: new Date(to_ms) }));
  return {
    now: row.now,
    user: { state: row.state, inArrears: row.in_arrears },
    caps: row.limits === null ? NO_CAPS : largestFitting(row.limits, NO_USE),
    ownConflicts: own.filter(({ from, to }) => from < endsAt && to > startsAt),
    ownBusy: own,
  };
}

async function readById(tx: Transaction, reservationId: string): Promise<ReservationRecord | undefined> {
  const [row] = await tx.$queryRaw<ReservationRecord[]>`SELECT ${RESERVATION} FROM reservations r WHERE r.id = ${reservationId}::uuid`;
  return row;
}

async function insert(
  tx: Transaction,
  wish: NewReservation,
  booking: Booking,
  deviceId: string,
  now: Date,
): Promise<ReservationRecord | undefined> {
  const { reservationId, userId, tenantId, series, traceId } = wish;
  const facts = {
    reservationId,
    userId,
    tenantId,
    deviceId,
    seriesId: series?.seriesId ?? null,
    startsAt: booking.startsAt,
    endsAt: booking.endsAt,
  };
  const [row] = await tx.$queryRaw<ReservationRecord[]>`
    WITH changed AS (
      INSERT INTO reservations AS r (id, user_id, tenant_id, user_tier, device_id, status, starts_at, ends_at, blocked_until, device_type, min_cpu, min_memory,
        wanted_device_id, remind_before_minutes, remind_at, series_id, series_index, trace_id)
      SELECT ${reservationId}::uuid, ${userId}, ${tenantId}, ${wish.tier}, d.id, 'confirmed', ${booking.startsAt}::timestamptz, ${booking.endsAt}::timestamptz,
        ${booking.blockedUntil}::timestamptz, ${wish.deviceType}, ${wish.minCpu}::int, ${wish.minMemory}::int, ${wish.wantedDeviceId}::uuid,
        ${wish.remindBeforeMinutes}::int, ${remindAt(wish, now)}::timestamptz, ${series?.seriesId ?? null}::uuid, ${series?.index ?? null}::int, ${traceId}
      FROM devices d WHERE d.id = ${deviceId}::uuid AND ${isBookable(booking)}
      ON CONFLICT ON CONSTRAINT reservations_no_overlap_on_device DO NOTHING
      RETURNING r.*
    ), told AS (${tell([toldOfCreation(bookingOf(facts), traceId)])})
    SELECT ${RESERVATION} FROM changed r`;
  return row;
}
