import type { AskedAllocationInput } from '../../shared/allocation/asked.ts';
import type { Tier } from '../../shared/allocation/tier.ts';

/** The ways in. Events are requests of other services, driven through the client under a name of their own. */
export const WAYS = ['http', 'client', 'event'] as const;

export type WayName = (typeof WAYS)[number];

/** One request the driver will make, and what it does with the device. */
export interface PlannedRequest {
  /** Request id, and key of every repetition. */
  readonly id: string;
  /** When it is sent, ms after the start. */
  readonly atMs: number;
  readonly way: WayName;
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: Tier;
  readonly asked: AskedAllocationInput;
  /** Release after this time (ms), leave the lease to its end, or hold the device beyond the end of the run. */
  readonly afterwards: { readonly kind: 'release'; readonly afterMs: number } | { readonly kind: 'expire' } | { readonly kind: 'hold' };
  /** Halfway through, the device is asked for a while longer. */
  readonly renew: boolean;
  /** Sent a second time at once, as a caller would whose connection broke. */
  readonly twice: boolean;
}
