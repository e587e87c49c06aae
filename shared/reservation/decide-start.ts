import type { Eligibility, Refusal } from '../allocation/decide-eligibility.ts';
import { limitHit, type Size, type Use } from '../quota/limits.ts';

/**
 * The device of a due reservation. `free`: take it; `busy`: still held or being cleaned, it will be free; `gone`: stopped,
 * broken, drained, deleted, or there is none.
 */
export type OwnDevice = { readonly state: 'free'; readonly size: Size } | { readonly state: 'busy' | 'gone' };

/** The named answers for a due reservation. */
export type StartDecision =
  | { readonly kind: 'start' }
  /** Another matching device is to be looked for. */
  | { readonly kind: 'swap' }
  /** Not now: asked again soon, within its window. */
  | { readonly kind: 'later'; readonly refusal: Refusal }
  | { readonly kind: 'fail'; readonly refusal: Refusal };

/** What may heal by itself within the window: it is asked again. */
const PASSING: readonly Refusal['code'][] = ['QUOTA_UNAVAILABLE', 'BILLING_UNAVAILABLE', 'QUOTA_EXCEEDED'];

/**
 * What to do with a reservation whose time has come?
 *
 * The rules of an allocation hold (blocks, quota, balance, limits). A refusal that may pass keeps the reservation for as long
 * as a no-show would be waited for (`patienceOver`), so a lease that ends half a second late costs nobody their booking, and
 * nobody keeps a device from others for hours without being allowed to hold it.
 */
export function decideStart(facts: {
  eligibility: Eligibility;
  device: OwnDevice;
  use: Use;
  patienceOver: boolean;
  /** Why the balance does not cover the device for the window, where it must. */
  unpaid?: Refusal | undefined;
}): StartDecision {
  const { eligibility, device, use, patienceOver, unpaid } = facts;
  if (eligibility.kind === 'settled' || eligibility.kind === 'timed-out')
    throw new Error(`a reservation that has not begun is ${eligibility.kind}`);
  if (eligibility.kind === 'refused') {
    const { refusal } = eligibility;
    return PASSING.includes(refusal.code) && !patienceOver ? { kind: 'later', refusal } : { kind: 'fail', refusal };
  }
  if (device.state !== 'free') return { kind: 'swap' };
  if (unpaid !== undefined) return { kind: 'fail', refusal: unpaid };
  const hit = limitHit(eligibility.limits, use, device.size);
  // The device was booked under other limits: a smaller one may do.
  return hit === undefined ? { kind: 'start' } : { kind: 'swap' };
}

/** The named answers when no other device was found either. */
export type ShortDecision =
  | { readonly kind: 'later'; readonly refusal: Refusal }
  | { readonly kind: 'hand-over'; readonly refusal: Refusal };

/** No other device: an own one that will be free is waited for, else the waiting queue takes over at its highest priority. */
export function decideWithoutDevice(device: OwnDevice, patienceOver: boolean): ShortDecision {
  const refusal: Refusal = { code: 'NO_DEVICE_AVAILABLE', reason: 'its device is not available and no other one matches' };
  return device.state === 'gone' || patienceOver ? { kind: 'hand-over', refusal } : { kind: 'later', refusal };
}
