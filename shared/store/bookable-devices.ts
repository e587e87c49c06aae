import { Prisma } from '../../prisma/generated/client.ts';
import type { Requirement } from '../placement/requirement.ts';
import type { Busy, Calendar } from '../reservation/free-slots.ts';
import { FREE, meetsSpecs, withinCaps } from './device-filters.ts';
import { HOLDS_TIME } from './reservation-rows.ts';
import type { Transaction } from './store.ts';
import { walkSizes } from './walk-sizes.ts';

/** A time to be booked, and on what. `blockedUntil` is the end and the gap after it. */
export interface Booking {
  readonly reservationId: string;
  readonly requirement: Requirement;
  readonly startsAt: Date;
  readonly endsAt: Date;
  readonly blockedUntil: Date;
  readonly gapSeconds: number;
}

/** The device is in service: a running lease is no obstacle, if it ends in time. */
const IN_SERVICE = Prisma.sql`d.status = 'running' AND NOT d.draining`;

/** Nobody else has reserved the device at that time, nor does a lease or its cleaning reach into it. */
export function isFreeFor({ reservationId, startsAt, blockedUntil, gapSeconds }: Booking): Prisma.Sql {
  return Prisma.sql`(d.cleaning_until IS NULL OR d.cleaning_until <= ${startsAt}::timestamptz)
    AND NOT EXISTS (
      SELECT FROM allocations a WHERE a.device_id = d.id AND a.status = 'allocated'
      AND a.expires_at > ${startsAt}::timestamptz - make_interval(secs => ${gapSeconds}::int))
    AND NOT EXISTS (
      SELECT FROM reservations r WHERE r.device_id = d.id AND ${HOLDS_TIME} AND r.id <> ${reservationId}::uuid
      AND tstzrange(r.starts_at, r.blocked_until) && tstzrange(${startsAt}::timestamptz, ${blockedUntil}::timestamptz))`;
}

/** Still in service and free for it: what the write asks once more, its snapshot being younger than the lock of the device. */
export function isBookable(booking: Booking): Prisma.Sql {
  return Prisma.sql`${IN_SERVICE} AND ${isFreeFor(booking)}`;
}

/**
 * A device for a booking, locked until the transaction ends; undefined: there is none.
 *
 * The smallest free one first (`walkSizes`), so that big ones stay for who needs them; then the one whose lease ends first; then those
 * being cleaned. Each is a walk of an index that stops at the first that fits. Devices another transaction is deciding on are passed
 * over at first, and waited for when no other one is left: whether they stay free is not known before. What was read before the
 * lock may be out of date when it is there, so the write asks again (`isBookable`).
 */
export async function lockBookable(tx: Transaction, booking: Booking): Promise<string | undefined> {
  for (const walk of walksFor(booking, Prisma.sql`FOR UPDATE OF d SKIP LOCKED`)) {
    const [found] = await tx.$queryRaw<{ id: string }[]>(walk);
    if (found !== undefined) return found.id;
  }
  for (const walk of walksFor(booking, Prisma.empty)) {
    const [found] = await tx.$queryRaw<{ id: string }[]>(walk);
    if (found === undefined) continue;
    await tx.$queryRaw`SELECT FROM devices WHERE id = ${found.id}::uuid FOR UPDATE`;
    return found.id;
  }
  return undefined;
}

/** Locks this device, whatever its state. */
export async function lockDevice(tx: Transaction, deviceId: string): Promise<void> {
  await tx.$queryRaw`SELECT FROM devices WHERE id = ${deviceId}::uuid FOR UPDATE`;
}

/** The hard filters and the caps of the quota. */
export function fits({ requirement }: Booking): Prisma.Sql {
  return Prisma.sql`${meetsSpecs(requirement)} AND ${withinCaps(requirement)}`;
}

function walksFor(booking: Booking, lock: Prisma.Sql): Prisma.Sql[] {
  const { startsAt, gapSeconds, requirement } = booking;
  const suits = Prisma.sql`${fits(booking)} AND ${isFreeFor(booking)}`;
  const named = Prisma.sql`SELECT d.id FROM devices d WHERE ${FREE} AND ${suits} ${lock}`;
  return [
    requirement.deviceId === null ? walkSizes(requirement, suits, lock) : named,
    Prisma.sql`
      SELECT d.id FROM allocations l JOIN devices d ON d.id = l.device_id
      WHERE l.status = 'allocated' AND l.expires_at <= ${startsAt}::timestamptz - make_interval(secs => ${gapSeconds}::int)
        AND ${IN_SERVICE} AND ${suits} ORDER BY l.expires_at, l.id LIMIT 1 ${lock}`,
    Prisma.sql`
      SELECT d.id FROM devices d WHERE d.cleaning_until IS NOT NULL AND d.cleaning_until <= ${startsAt}::timestamptz
        AND d.allocation_id IS NULL AND ${IN_SERVICE} AND ${suits} ORDER BY d.cleaning_until LIMIT 1 ${lock}`,
  ];
}

/** Devices whose calendars are looked at to name the next free slots. */
const CALENDARS = 100;
/** How far ahead the next free slots are looked for, days. */
const LOOK_AHEAD_DAYS = 30;

/** What is taken on a device, and by what. */
export interface TakenTime extends Busy {
  readonly by: 'reservation' | 'allocation' | 'cleaning';
}

/** Why there was no device: is there one at all, one within the caps of the quota, and when are those in service taken? */
export interface CapacityFacts {
  readonly exists: boolean;
  readonly existsWithinCaps: boolean;
  readonly calendars: readonly (Calendar & { readonly busy: readonly TakenTime[] })[];
}

interface TakenRow {
  from_ms: number;
  to_ms: number;
  by: TakenTime['by'];
}

/** Reads when up to 100 matching devices in service are taken from the start of the booking on. */
export async function readCapacity(tx: Transaction, booking: Booking): Promise<CapacityFacts> {
  const { requirement, startsAt, gapSeconds, reservationId } = booking;
  const gap = Prisma.sql`make_interval(secs => ${gapSeconds}::int)`;
  const [row] = await tx.$queryRaw<{ exists: boolean; within: boolean; calendars: { id: string; busy: TakenRow[] | null }[] | null }[]>`
    SELECT ${someDevice(meetsSpecs(requirement))} AS exists,
      ${someDevice(Prisma.sql`${meetsSpecs(requirement)} AND ${withinCaps(requirement)}`)} AS within,
      (SELECT json_agg(c) FROM (
        SELECT d.id, (SELECT json_agg(t) FROM (
          SELECT extract(epoch FROM r.starts_at) * 1000 AS from_ms, extract(epoch FROM r.blocked_until) * 1000 AS to_ms, 'reservation' AS by
          FROM reservations r WHERE r.device_id = d.id AND ${HOLDS_TIME} AND r.id <> ${reservationId}::uuid
            AND tstzrange(r.starts_at, r.blocked_until) && tstzrange(${startsAt}::timestamptz, ${startsAt}::timestamptz + make_interval(days => ${LOOK_AHEAD_DAYS}::int))
          UNION ALL
          SELECT extract(epoch FROM a.allocated_at) * 1000, extract(epoch FROM a.expires_at + ${gap}) * 1000, 'allocation'
          FROM allocations a WHERE a.device_id = d.id AND a.status = 'allocated' AND a.expires_at + ${gap} > ${startsAt}::timestamptz
          UNION ALL
          SELECT extract(epoch FROM now()) * 1000, extract(epoch FROM d.cleaning_until) * 1000, 'cleaning' WHERE d.cleaning_until > ${startsAt}::timestamptz
        ) t) AS busy
        FROM devices d WHERE ${IN_SERVICE} AND d.status <> 'deleted' AND ${meetsSpecs(requirement)} AND ${withinCaps(requirement)}
        ORDER BY d.cpu_cores, d.memory_mb, d.storage_mb LIMIT ${CALENDARS}::int) c) AS calendars`;
  return {
    exists: row?.exists ?? false,
    existsWithinCaps: row?.within ?? false,
    calendars: (row?.calendars ?? []).map(({ id, busy }) => ({ deviceId: id, busy: (busy ?? []).map(toTaken) })),
  };
}

/** Whether there is one. In the order of an index: EXISTS reads the table, hoping to meet one soon. */
function someDevice(suits: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`(SELECT true FROM devices d WHERE d.status <> 'deleted' AND ${suits}
    ORDER BY d.cpu_cores, d.memory_mb, d.storage_mb LIMIT 1) IS NOT NULL`;
}

function toTaken({ from_ms, to_ms, by }: TakenRow): TakenTime {
  return { from: new Date(from_ms), to: new Date(to_ms), by };
}
