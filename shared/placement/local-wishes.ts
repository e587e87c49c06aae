import type { Preference } from './requirement.ts';
import type { Strategy } from './strategy.ts';

/** The device a user held last, or holds: who it was and where it runs. */
export interface LastDevice {
  readonly id: string | null;
  readonly region: string | null;
}

/**
 * What `locality_aware` wishes for a request besides its own wishes: the device its user had last, and the region of that
 * device when the request names none. A user without a history has no region; nothing else is known of where they are.
 */
export function localWishes(wish: Preference, strategy: Strategy, last: LastDevice): Preference {
  if (strategy.type !== 'locality_aware') return wish;
  const { lastDevice, lastRegion } = strategy.config;
  return {
    ...wish,
    lastDeviceId: lastDevice ? last.id : wish.lastDeviceId,
    region: wish.region ?? (lastRegion ? last.region : null),
  };
}
