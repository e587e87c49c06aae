import { Prisma } from '../../prisma/generated/client.ts';
import type { EndReason } from '../allocation/end-reason.ts';
import { type OutboxEvent, reservationEvent } from '../events.ts';
import { FAILING_ENDS, failureAfterEnd } from '../reservation/reservation.ts';

/** A running reservation that failed by the end of its allocation, as JSON has it. */
export interface FailedReservation {
  readonly reservationId: string;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly deviceId: string | null;
  readonly seriesId: string | null;
  readonly startsAt: string;
  readonly endsAt: string;
}

/**
 * The part of the statement that ends allocations (`ended`) which ends their reservations too: completed, or failed when the
 * device was taken from the holder. `failed`: what is to be told of the latter.
 */
export function closeReservations(): Prisma.Sql {
  const failing = Prisma.sql`ended.end_reason = ANY(${[...FAILING_ENDS]}::text[])`;
  return Prisma.sql`
    UPDATE reservations r SET status = CASE WHEN ${failing} THEN 'failed' ELSE 'completed' END, updated_at = now(),
      failure_code = CASE WHEN ${failing} THEN CASE ended.end_reason WHEN 'no_show' THEN ${failureAfterEnd('no_show')} ELSE ${failureAfterEnd('device_failed')} END END,
      failure_reason = CASE WHEN ${failing} THEN ended.end_reason END
    FROM ended WHERE r.allocation_id = ended.id AND r.status = 'executing'
    RETURNING r.allocation_id, CASE WHEN r.status = 'failed' THEN jsonb_build_object('reservationId', r.id, 'userId', r.user_id, 'tenantId', r.tenant_id,
      'deviceId', r.device_id, 'seriesId', r.series_id, 'startsAt', r.starts_at, 'endsAt', r.ends_at) END AS failed`;
}

/** What is told of a reservation that failed while it ran. */
export function reservationFailed(failed: FailedReservation, reason: EndReason): OutboxEvent<'scheduler.reservation.failed'> {
  const { startsAt, endsAt, ...booked } = failed;
  const times = { reservedStartTime: new Date(startsAt).toISOString(), reservedEndTime: new Date(endsAt).toISOString() };
  return reservationEvent(
    'scheduler.reservation.failed',
    { ...booked, ...times },
    { code: failureAfterEnd(reason), reason, queueId: null },
  );
}
