import { type Limits, limitHit, type Size, type Use } from '../quota/limits.ts';
import type { Refusal } from './decide-eligibility.ts';

/**
 * What the fleet looks like to requests that found no candidate. `freeWithinCaps`: matching devices that are free and that
 * we could not lock, counted up to the number of requests. `smallest`: the smallest device that passes the hard filters.
 */
export interface Shortage {
  readonly freeWithinCaps: number;
  readonly existsWithinCaps: boolean;
  readonly smallest: Size | null;
  /** The least price per hour of a device within the quota; looked for only where the balance limits the price. */
  readonly cheapest?: number | null;
}

/** The named answers: try again at once, wait, or no. */
export type ShortageDecision =
  | { readonly kind: 'contended' }
  | { readonly kind: 'waiting'; readonly reason: 'POOL_BUSY' | 'PRIORITY' }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/**
 * Why was there no candidate?
 *
 * A free matching device that we could not lock is being decided on by another worker: whether it stays free is not
 * known, so the request is asked again rather than refused. A device that only the user's limits rule out is a matter
 * of quota, named with the first limit the smallest such device would pass.
 *
 * @param outranked  there are free devices, but for others, who have waited for them
 */
export function decideShortage(shortage: Shortage, limits: Limits, use: Use, queueIfBusy: boolean, outranked = false): ShortageDecision {
  if (shortage.freeWithinCaps > 0) return { kind: 'contended' };
  if (shortage.smallest === null) {
    return { kind: 'refused', refusal: { code: 'NO_MATCHING_DEVICE', reason: 'no device of the fleet passes the hard filters' } };
  }
  if (!shortage.existsWithinCaps) return quotaRefusal(shortage.smallest, limits, use);
  const reason = outranked ? 'PRIORITY' : 'POOL_BUSY';
  if (queueIfBusy) return { kind: 'waiting', reason };
  const words = outranked ? 'others have waited for the devices that are free' : 'every matching device is busy';
  return { kind: 'refused', refusal: { code: 'NO_DEVICE_AVAILABLE', reason: words, details: { reason } } };
}

function quotaRefusal(smallest: Size, limits: Limits, use: Use): ShortageDecision {
  const hit = limitHit(limits, use, smallest);
  const reason =
    hit === undefined
      ? 'every matching device is larger than the quota allows'
      : `${hit.limit} is ${hit.max}, the smallest matching device needs more`;
  return { kind: 'refused', refusal: { code: 'QUOTA_EXCEEDED', reason, ...(hit === undefined ? {} : { details: { ...hit } }) } };
}
