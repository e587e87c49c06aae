import { z } from 'zod';
import type { RELAY_SCHEDULES } from '../schedules.ts';

/** A scheduled look at the outbox carries nothing but who set it off: what is to leave is read from Postgres. */
export const outboxRelayPayload = z.object({ by: z.enum(['schedule', 'operator', 'start']).default('schedule') });

/** The scheduled jobs of the queue `relay`; its handler table is checked against this. */
export type RelayJobName = (typeof RELAY_SCHEDULES)[number]['name'];
