import type { AskedAllocationInput } from '../../shared/allocation/asked.ts';
import type { Tier } from '../../shared/allocation/tier.ts';

/** The ways in of the load. The third one, events, is an errand of its own: an order says less than a request. */
export const WAYS = ['http', 'client'] as const;

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
