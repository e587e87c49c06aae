import { z } from 'zod';
import { type AskedAllocation, askedAllocation, DEVICE_TYPES } from '../allocation/asked.ts';

const naturalNumber = z.int().min(0).max(2_147_483_647);

/** What somebody says who joins the waiting queue, through whichever door. */
export const askedEntry = z.strictObject({
  durationMinutes: z.int().min(15).max(1_440).default(60),
  deviceType: z.enum(DEVICE_TYPES).optional(),
  minCpu: naturalNumber.optional().describe('Cores'),
  minMemory: naturalNumber.optional().describe('MB'),
  maxWaitMinutes: z.int().min(1).max(120).default(30),
});

/** An entry as a caller writes it: everything may be left out. */
export type AskedEntryInput = z.input<typeof askedEntry>;

/** The entry as the request it is. */
export function requestOfEntry({
  durationMinutes,
  maxWaitMinutes,
  deviceType,
  minCpu,
  minMemory,
}: z.output<typeof askedEntry>): AskedAllocation {
  return askedAllocation.parse({
    durationMinutes,
    maxWaitMinutes,
    queueIfBusy: true,
    ...(deviceType === undefined ? {} : { devicePreferences: { deviceType } }),
    ...(minCpu === undefined && minMemory === undefined ? {} : { preferredSpecs: { minCpu, minMemory } }),
  });
}
