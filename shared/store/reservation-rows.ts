import { Prisma } from '../../prisma/generated/client.ts';
import type { Tier } from '../allocation/tier.ts';
import { type BookingFacts, type OutboxEvent, reservationEvent } from '../events.ts';
import type { ReservationStatus } from '../reservation/reservation.ts';

/** A reservation as it stands. Times are instants of the database's clock. */
export interface ReservationRecord {
  readonly reservationId: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: Tier;
  readonly status: ReservationStatus;
  readonly deviceId: string | null;
  readonly startsAt: Date;
  readonly endsAt: Date;
  /** `endsAt` and the gap kept free after it. */
  readonly blockedUntil: Date;
  readonly deviceType: 'phone' | 'tablet' | null;
  readonly minCpu: number | null;
  readonly minMemory: number | null;
  /** The device asked for by name. */
  readonly wantedDeviceId: string | null;
  readonly remindBeforeMinutes: number;
  readonly remindedAt: Date | null;
  readonly allocationId: string | null;
  readonly cancelReason: string | null;
  readonly failureCode: string | null;
  readonly failureReason: string | null;
  readonly queueEntryId: string | null;
  readonly seriesId: string | null;
  readonly seriesIndex: number | null;
  /** Starts that failed by a fault of ours. */
  readonly attempts: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly traceId: string | null;
}

/** The columns of a record, named as its fields; the table goes by `r`. */
export const RESERVATION = Prisma.sql`
  r.id AS "reservationId", r.user_id AS "userId", r.tenant_id AS "tenantId", r.user_tier AS tier, r.status, r.device_id AS "deviceId",
  r.starts_at AS "startsAt", r.ends_at AS "endsAt", r.blocked_until AS "blockedUntil", r.device_type AS "deviceType", r.min_cpu AS "minCpu",
  r.min_memory AS "minMemory", r.wanted_device_id AS "wantedDeviceId", r.remind_before_minutes AS "remindBeforeMinutes", r.reminded_at AS "remindedAt",
  r.allocation_id AS "allocationId", r.cancel_reason AS "cancelReason", r.failure_code AS "failureCode", r.failure_reason AS "failureReason",
  r.queue_entry_id AS "queueEntryId", r.series_id AS "seriesId", r.series_index AS "seriesIndex", r.attempts, r.created_at AS "createdAt",
  r.updated_at AS "updatedAt", r.trace_id AS "traceId"`;

/** The states that hold their time: the condition of the exclusion constraints, word for word. */
export const HOLDS_TIME = Prisma.sql`r.status IN ('pending', 'confirmed', 'executing')`;

/** What every event and notice of a reservation says. */
export function bookingOf(
  row: Omit<BookingFacts, 'reservedStartTime' | 'reservedEndTime'> & { startsAt: Date; endsAt: Date },
): BookingFacts {
  const { reservationId, userId, tenantId, deviceId, seriesId, startsAt, endsAt } = row;
  return {
    reservationId,
    userId,
    tenantId,
    deviceId,
    seriesId,
    reservedStartTime: startsAt.toISOString(),
    reservedEndTime: endsAt.toISOString(),
  };
}

/** What is told of a reservation. Notices to its user follow from the events (decision 20). */
export interface Told {
  readonly of: string;
  readonly traceId: string | null;
  readonly events: readonly OutboxEvent[];
}

/** Told when one was made. */
export function toldOfCreation(booked: BookingFacts, traceId: string | null): Told {
  return { of: booked.reservationId, traceId, events: [reservationEvent('scheduler.reservation.created', booked, {})] };
}

/** Told when one could not begin, or could not be booked at all. */
export function toldOfFailure(
  booked: BookingFacts,
  failure: { readonly code: string; readonly reason: string; readonly queueId: string | null },
  traceId: string | null,
): Told {
  return { of: booked.reservationId, traceId, events: [reservationEvent('scheduler.reservation.failed', booked, failure)] };
}

/**
 * The part of a statement that writes what is told of the reservations it has changed: `WITH changed AS (… RETURNING r.id),
 * told AS (${tell(told)})`. Rows of reservations that did not change are not written.
 */
export function tell(told: readonly Told[]): Prisma.Sql {
  const rows = told.flatMap(({ of, traceId, events }) => events.map((event) => ({ of, ...event, trace_id: traceId })));
  return Prisma.sql`
    INSERT INTO outbox (channel, topic, key, payload, trace_id)
    SELECT 'event', x.topic, x.key, x.payload, x.trace_id
    FROM ROWS FROM (jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS (of uuid, topic text, key text, payload jsonb, trace_id text))
      WITH ORDINALITY AS x(of, topic, key, payload, trace_id, position)
    JOIN changed ON changed.id = x.of
    ORDER BY x.position`;
}
