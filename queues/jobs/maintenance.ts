import { z } from 'zod';
import type { JobOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';
import type { SCHEDULES } from '../schedules.ts';

/** A scheduled job carries nothing but who set it off: what is due is read from Postgres by its own clock. */
export const maintenancePayload = z.object({
  by: z.enum(['schedule', 'operator', 'start']).default('schedule'),
});

export type MaintenancePayload = z.output<typeof maintenancePayload>;

/** The jobs of the maintenance queue are exactly the schedules; the worker's handler table is checked against this. */
export type MaintenanceJobName = (typeof SCHEDULES)[number]['name'];

export const maintenanceJob = {
  queue: QUEUES.maintenance,
  payload: maintenancePayload,
  /** The next tick is the retry. */
  options: {
    attempts: 1,
    backoff: { type: 'fixed', delay: 1_000 },
    removeOnComplete: { age: 3_600, count: 200, limit: 200 },
    removeOnFail: { age: 24 * 3_600, count: 500, limit: 200 },
  } satisfies JobOptions,
} as const;
