import { z } from 'zod';
import { partyId } from '../../shared/allocation/party-id.ts';
import { TIERS } from '../../shared/allocation/tier.ts';
import type { ErrorCode, ErrorDetails } from '../../shared/errors.ts';
import { askedReservation } from '../../shared/reservation/asked-reservation.ts';
import type { JobOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';
import { releaseJob } from './release.ts';

/** Name of the job that books a device for a time to come. */
export const RESERVE = 'reserve';

/** The caller's own words; times are ISO 8601. */
export const reservePayload = z.object({
  reservationId: z.guid(),
  caller: z.string().min(1).max(300),
  userId: partyId,
  tenantId: partyId.nullable(),
  tier: z.enum(TIERS),
  asked: askedReservation,
  replyTo: z.string().max(100).optional(),
  traceId: z.string().max(200).optional(),
});

/** A payload as it is checked by the worker, and as it is sent. */
export type ReservePayload = z.output<typeof reservePayload>;
export type NewReserve = z.input<typeof reservePayload>;

/** What is booked. Times are ISO 8601 in UTC. */
export interface BookedReservation {
  readonly reservationId: string;
  readonly deviceId: string | null;
  readonly reservedStartTime: string;
  readonly reservedEndTime: string;
}

/** The closed set of answers to a reservation; of a series with every occurrence up to the horizon. */
export type ReserveJobOutcome =
  | ({ readonly status: 'reserved' } & BookedReservation)
  | {
      readonly status: 'reserved';
      readonly seriesId: string;
      readonly reservations: readonly BookedReservation[];
      readonly missed: readonly { readonly reservedStartTime: string; readonly code: ErrorCode; readonly reason: string }[];
    }
  | {
      readonly status: 'refused';
      readonly reservationId: string;
      readonly code: ErrorCode;
      readonly reason: string;
      readonly details?: ErrorDetails;
    };

export const reserveJob = {
  queue: QUEUES.reserve,
  name: RESERVE,
  payload: reservePayload,
  idOf: (payload: Pick<ReservePayload, 'reservationId'>): string => payload.reservationId,
  options: releaseJob.options satisfies JobOptions,
} as const;
