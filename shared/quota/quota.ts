import { z } from 'zod';

/** A limit: missing, `null` and negative all mean "no limit". Kept as it came; `limitsOf` reads it. */
const limit = z.number().nullish();

const instant = z
  .string()
  .refine((text) => !Number.isNaN(Date.parse(text)), 'must be a date')
  .transform((text) => new Date(text).toISOString())
  .nullish()
  .transform((text) => text ?? null);

/**
 * The user-service's answer about a user. Unknown fields are dropped, so that a field they add breaks nothing; a field
 * of the wrong kind is an error, because a limit we misread would be no limit.
 */
export const quotaSchema = z.object({
  planId: z.string().nullish(),
  planName: z.string().nullish(),
  status: z.enum(['active', 'exceeded', 'suspended', 'expired']),
  limits: z.object({
    maxDevices: limit,
    maxConcurrentDevices: limit,
    maxCpuCoresPerDevice: limit,
    maxMemoryMBPerDevice: limit,
    maxStorageGBPerDevice: limit,
    totalCpuCores: limit,
    totalMemoryGB: limit,
    totalStorageGB: limit,
  }),
  /** What the user-service counts. Our own rows decide; this is for the details of an answer only. */
  usage: z.object({ currentDevices: limit, currentConcurrentDevices: limit }).nullish(),
  validFrom: instant,
  validUntil: instant,
});

/** What a user may hold, as the user-service says it: CPU in cores, memory in MB or GB and storage in GB as named. */
export type Quota = z.output<typeof quotaSchema>;
