import { z } from 'zod';
import type { RESERVATION_SCHEDULES } from '../schedules.ts';

/** A scheduled look at the reservations carries nothing but who set it off: what is due is read from Postgres by its own clock. */
export const reservationsPayload = z.object({ by: z.enum(['schedule', 'operator', 'start']).default('schedule') });

/** The scheduled jobs of the queue `reservations`; the worker's handler table is checked against this. */
export type ReservationJobName = (typeof RESERVATION_SCHEDULES)[number]['name'];
