import { Prisma } from '../../prisma/generated/client.ts';
import { reservationEvent } from '../events.ts';
import { type EndedAllocation, type Ending, endAllocations } from './end-allocations.ts';
import { bookingOf, RESERVATION, type ReservationRecord, tell } from './reservation-rows.ts';
import type { Store, Transaction } from './store.ts';
import { translated } from './store-errors.ts';

/** Where a walk over reservations by start stands. */
export interface SweepPosition {
  readonly startsAt: Date;
  readonly reservationId: string;
}

/** Reservations whose time has come and is not over, in the order of their starts, those put off left out. No row is locked. */
export async function dueReservations(store: Store, limit: number, after: SweepPosition | undefined): Promise<ReservationRecord[]> {
  const later =
    after === undefined
      ? Prisma.sql`true`
      : Prisma.sql`(r.starts_at, r.id) > (${after.startsAt}::timestamptz, ${after.reservationId}::uuid)`;
  return translated(
    store.prisma.$queryRaw<ReservationRecord[]>`
      SELECT ${RESERVATION} FROM reservations r WHERE r.status IN ('pending', 'confirmed') AND r.starts_at <= now() AND r.ends_at > now()
        AND r.next_attempt_at <= now() AND ${later} ORDER BY r.starts_at, r.id LIMIT ${limit}::int`,
  );
}

/** One step of a sweep: which rows are due, and what is done with some of them, all or none. */
export interface Step {
  readonly name: 'expired' | 'reminded' | 'no-show';
  /** Ids of rows that are due, at most so many. */
  readonly due: (store: Store, limit: number) => Promise<string[]>;
  /** Changes those that are still due. @returns how many */
  readonly change: (store: Store, ids: readonly string[]) => Promise<number>;
}

/**
 * Reservations that were never begun and whose time is over.
 *
 * @param onExpired  is told the devices they were booked on: the gap after them is free
 */
export const expireUnbegun = (onExpired: (deviceIds: readonly string[]) => void): Step => ({
  name: 'expired',
  due: (store, limit) =>
    ids(
      store,
      Prisma.sql`r.status IN ('pending', 'confirmed') AND r.starts_at <= now() AND r.ends_at <= now() AND r.next_attempt_at <= now()
      ORDER BY r.starts_at, r.id LIMIT ${limit}::int`,
    ),
  change: (store, due) =>
    store.transaction(async (tx) => {
      const rows = await lock(tx, due, Prisma.sql`r.status IN ('pending', 'confirmed') AND r.ends_at <= now()`);
      const told = rows.map((row) => ({
        of: row.reservationId,
        traceId: row.traceId,
        events: [
          reservationEvent('scheduler.reservation.expired', bookingOf(row), { reason: 'it was not begun before its time was over' }),
        ],
      }));
      onExpired(rows.flatMap(({ deviceId }) => deviceId ?? []));
      return tx.$executeRaw`
        WITH changed AS (
          UPDATE reservations r SET status = 'expired', updated_at = now() WHERE r.id = ANY(${idsOf(rows)}::uuid[]) RETURNING r.id
        ) ${tell(told)}`;
    }),
});

/** Reminders that are due, of reservations still ahead: each once, whoever else is at it. */
export const REMIND: Step = {
  name: 'reminded',
  due: (store, limit) =>
    ids(
      store,
      Prisma.sql`r.status = 'confirmed' AND r.reminded_at IS NULL AND r.remind_at IS NOT NULL AND r.remind_at <= now() AND r.starts_at > now()
      AND r.next_attempt_at <= now() ORDER BY r.remind_at, r.id LIMIT ${limit}::int`,
    ),
  change: (store, due) =>
    store.transaction(async (tx) => {
      const rows = await lock(tx, due, Prisma.sql`r.status = 'confirmed' AND r.reminded_at IS NULL AND r.starts_at > now()`);
      const [clock] = await tx.$queryRaw<{ now: Date }[]>`SELECT now() AS now`;
      const told = rows.map((row) => ({
        of: row.reservationId,
        traceId: row.traceId,
        events: [
          reservationEvent('scheduler.reservation.reminder', bookingOf(row), { minutesLeft: minutesUntil(row.startsAt, clock?.now) }),
        ],
      }));
      return tx.$executeRaw`
        WITH changed AS (
          UPDATE reservations r SET reminded_at = now(), updated_at = now() WHERE r.id = ANY(${idsOf(rows)}::uuid[]) RETURNING r.id
        ) ${tell(told)}`;
    }),
};

function minutesUntil(startsAt: Date, now: Date | undefined): number {
  return now === undefined ? 0 : Math.max(0, Math.ceil((startsAt.getTime() - now.getTime()) / 60_000));
}

/** Who is a no-show, and what becomes of their device. Times before `upSince` do not count: they could not have shown up. */
export interface NoShowRule {
  readonly afterSeconds: number;
  readonly upSince: Date;
  readonly ending: Ending;
  readonly onEnded: (ended: readonly EndedAllocation[]) => void;
}

/** Running reservations nobody came for. */
export function endNoShows({ afterSeconds, upSince, ending, onEnded }: NoShowRule): Step {
  const unseen = Prisma.sql`r.status = 'executing' AND r.shown_at IS NULL AND a.status = 'allocated' AND a.expires_at > now() AND a.last_heartbeat_at IS NULL AND a.last_extended_at IS NULL
    AND greatest(a.allocated_at, ${upSince}::timestamptz) <= now() - make_interval(secs => ${afterSeconds}::int)`;
  return {
    name: 'no-show',
    due: async (store, limit) => {
      const rows = await translated(store.prisma.$queryRaw<{ id: string }[]>`
        SELECT r.id FROM reservations r JOIN allocations a ON a.id = r.allocation_id
        WHERE ${unseen} AND r.starts_at <= now() AND r.next_attempt_at <= now() ORDER BY r.starts_at, r.id LIMIT ${limit}::int`);
      return rows.map(({ id }) => id);
    },
    change: (store, due) =>
      store.transaction(async (tx) => {
        // The allocation before its reservation, like every other end of it.
        await tx.$queryRaw`
          SELECT count(*) FROM (SELECT FROM allocations WHERE id IN (SELECT allocation_id FROM reservations WHERE id = ANY(${due}::uuid[])) ORDER BY id FOR UPDATE) l`;
        const rows = await tx.$queryRaw<{ allocation_id: string }[]>`
          SELECT r.allocation_id FROM reservations r JOIN allocations a ON a.id = r.allocation_id WHERE r.id = ANY(${due}::uuid[]) AND ${unseen} FOR UPDATE OF r`;
        const ended = await endAllocations(
          tx,
          rows.map(({ allocation_id }) => ({ allocationId: allocation_id, reason: 'no_show' })),
          ending,
        );
        onEnded(ended);
        return ended.length;
      }),
  };
}

/** Notes what went wrong with one row, and puts it off for a while that grows with every attempt, a minute at most. */
export async function noteFault(store: Store, reservationId: string, problem: string): Promise<void> {
  await translated(store.prisma.$executeRaw`
    UPDATE reservations SET attempts = attempts + 1, last_error = ${problem}, next_attempt_at = now() + least(attempts + 1, 12) * interval '5 seconds', updated_at = now()
    WHERE id = ${reservationId}::uuid`);
}

/** A break of the sweep longer than this was an outage of ours, s. */
const OUTAGE_S = 60;

/**
 * Since when the sweep has been running without a break, by the runs it has noted.
 *
 * @param job  the name it is noted under
 */
export async function upSince(store: Store, job: string): Promise<Date> {
  const [row] = await translated(
    store.prisma.$queryRaw<{ since: Date }[]>`
      SELECT coalesce((SELECT CASE WHEN last_run_at > now() - make_interval(secs => ${OUTAGE_S}::int) THEN (last_result ->> 'upSince')::timestamptz END
        FROM scheduled_runs WHERE job = ${job}), now()) AS since`,
  );
  if (row === undefined) throw new Error('a SELECT without FROM returned no row');
  return row.since;
}

async function ids(store: Store, due: Prisma.Sql): Promise<string[]> {
  const rows = await translated(store.prisma.$queryRaw<{ id: string }[]>`SELECT r.id FROM reservations r WHERE ${due}`);
  return rows.map(({ id }) => id);
}

async function lock(tx: Transaction, due: readonly string[], still: Prisma.Sql): Promise<ReservationRecord[]> {
  return tx.$queryRaw<ReservationRecord[]>`
    SELECT ${RESERVATION} FROM reservations r WHERE r.id = ANY(${due}::uuid[]) AND ${still} ORDER BY r.starts_at, r.id FOR UPDATE SKIP LOCKED`;
}

function idsOf(rows: readonly ReservationRecord[]): string[] {
  return rows.map(({ reservationId }) => reservationId);
}
