import type { Parked } from './parked.ts';

/** Why somebody waits, by the names the platform shows. */
export const WAIT_REASONS = [
  'QUOTA_USER',
  'BALANCE',
  'NO_MATCH',
  'POOL_BUSY',
  'RESERVED_SOON',
  'CLEANING',
  'DRAINING',
  'PRIORITY',
] as const;

export type WaitReason = (typeof WAIT_REASONS)[number];

/** What the devices that match look like: whether there is any, and whether one is held, free, free but reserved, cleaning, draining. */
export interface MatchingDevices {
  readonly any: boolean;
  readonly held: boolean;
  readonly free: boolean;
  readonly reserved: boolean;
  readonly cleaning: boolean;
  readonly draining: boolean;
}

/**
 * Why a request waits right now, the reason nearest to its end first: passed over itself; a device is free, for somebody
 * ahead; free, but reserved too soon; being cleaned; in use; draining; there is none of the kind.
 */
export function waitReason(parked: Parked | null, devices: MatchingDevices): WaitReason {
  if (parked === 'QUOTA_USER' || parked === 'BALANCE') return parked;
  if (!devices.any) return 'NO_MATCH';
  if (devices.free) return 'PRIORITY';
  if (devices.reserved) return 'RESERVED_SOON';
  if (devices.cleaning) return 'CLEANING';
  if (devices.held) return 'POOL_BUSY';
  return devices.draining ? 'DRAINING' : 'NO_MATCH';
}
