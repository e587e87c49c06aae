import { z } from 'zod';
import { TIERS } from '../shared/allocation/tier.ts';
import { RESERVATION_STATUSES } from '../shared/reservation/reservation.ts';
import type { ReservationWhole } from '../shared/store/read-reservations.ts';
import type { ReservationRecord } from '../shared/store/reservation-rows.ts';

const instant = z.string().describe('ISO 8601, UTC');

/** A reservation as its user sees it. */
export const reservationAnswer = z.object({
  id: z.string(),
  userId: z.string(),
  tenantId: z.string().nullable(),
  userTier: z.enum(TIERS),
  status: z.enum(RESERVATION_STATUSES),
  reservedStartTime: instant,
  reservedEndTime: instant,
  durationMinutes: z.number(),
  deviceId: z.string().nullable().describe('The device that is held for it'),
  deviceType: z.string().nullable(),
  minCpu: z.int().nullable(),
  minMemory: z.int().nullable(),
  remindBeforeMinutes: z.int(),
  remindedAt: instant.nullable(),
  allocationId: z.string().nullable().describe('Once it has begun'),
  cancelReason: z.string().nullable(),
  failureCode: z.string().nullable(),
  failureReason: z.string().nullable(),
  queueId: z.string().nullable().describe('The entry of the waiting queue it was handed to'),
  seriesId: z.string().nullable(),
  attempts: z.int().describe('Starts that failed by a fault of ours; tried again'),
  createdAt: instant,
  updatedAt: instant,
});

/** One reservation alone: with the way to the device for its holder while it runs. */
export const wholeReservation = reservationAnswer.extend({
  deviceName: z.string().nullable(),
  fence: z.int().optional(),
  adbHost: z.string().optional().describe('Only for the holder, while it runs'),
  adbPort: z.int().optional(),
});

/** A new series: what was booked up to the horizon, and what could not be. */
export const seriesAnswer = z.object({
  seriesId: z.string(),
  reservations: z.array(reservationAnswer),
  missed: z.array(
    z.object({ reservedStartTime: instant, code: z.string(), reason: z.string(), details: z.record(z.string(), z.unknown()).optional() }),
  ),
  nextStartTime: instant.nullable().describe('The first occurrence beyond the horizon; it is booked as the horizon moves on'),
});

export function viewReservation(reservation: ReservationRecord): z.output<typeof reservationAnswer> {
  const { reservationId, tier, startsAt, endsAt, remindedAt, createdAt, updatedAt, queueEntryId, ...rest } = reservation;
  return {
    ...rest,
    id: reservationId,
    userTier: tier,
    reservedStartTime: startsAt.toISOString(),
    reservedEndTime: endsAt.toISOString(),
    durationMinutes: (endsAt.getTime() - startsAt.getTime()) / 60_000,
    remindedAt: remindedAt?.toISOString() ?? null,
    queueId: queueEntryId,
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  };
}

/** @param holds  whether the asker is the holder, who alone is told how to reach the device */
export function viewWholeReservation(whole: ReservationWhole, holds: boolean): z.output<typeof wholeReservation> {
  const { deviceName, adbHost, adbPort, fence, ...reservation } = whole;
  return {
    ...viewReservation(reservation),
    deviceName,
    ...(fence === null ? {} : { fence: Number(fence) }),
    ...(holds && adbHost !== null ? { adbHost } : {}),
    ...(holds && adbPort !== null ? { adbPort } : {}),
  };
}
