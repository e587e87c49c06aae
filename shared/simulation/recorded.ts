import { z } from 'zod';
import { type AskedAllocation, askedAllocation } from '../allocation/asked.ts';
import { partyId } from '../allocation/party-id.ts';
import { TIERS, type Tier } from '../allocation/tier.ts';
import type { Placeable } from '../placement/strategy-order.ts';

/** A request somebody once made, and for how long the device was used. Times in ms on any clock. */
export interface SimulatedRequest {
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: Tier;
  readonly asked: AskedAllocation;
  readonly atMs: number;
  readonly holdMs: number;
}

/** A device that was free when the recording began. */
export type SimulatedDevice = Placeable;

/** A request of a trace, as a caller writes it. */
export const tracedRequest = z.strictObject({
  ...askedAllocation.shape,
  userId: partyId,
  tenantId: partyId.optional(),
  userTier: z.enum(TIERS).default('standard'),
  atSeconds: z.number().min(0).max(1e10).describe('When it was made, s on the clock of the trace'),
  holdSeconds: z.number().min(0).max(86_400).optional().describe('How long the device was used, s; left out, the whole duration'),
});

/** A request of a trace in our own words. */
export function fromTrace({
  userId,
  tenantId,
  userTier,
  atSeconds,
  holdSeconds,
  ...asked
}: z.output<typeof tracedRequest>): SimulatedRequest {
  const atMs = Math.round(atSeconds * 1_000);
  const holdMs = Math.round((holdSeconds ?? asked.durationMinutes * 60) * 1_000);
  return { userId, tenantId: tenantId ?? null, tier: userTier, asked, atMs, holdMs };
}
