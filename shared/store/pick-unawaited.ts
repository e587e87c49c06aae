import type { PlacementClass } from '../allocation/plan-group.ts';
import type { StrategyType } from '../placement/strategy.ts';
import { matchDevices } from '../waitlist/match-devices.ts';
import { readDevices } from './free-devices.ts';
import { type PickedDevice, pickDevices } from './pick-devices.ts';
import type { Transaction } from './store.ts';
import { readWaiters } from './waiters.ts';

/** Devices for a class, and those that were left to whoever waits for them. */
export interface Unawaited {
  readonly devices: readonly PickedDevice[];
  readonly awaited: readonly string[];
}

/** Looks past devices that others wait for, at most so many times. */
const LOOKS = 5;

/**
 * Picks devices as `pickDevices` does, but none that the waitlist would give to somebody with an earlier rank: a device
 * that has just become free is for those who have waited, not for who asks in that moment.
 *
 * While nobody waits this is `pickDevices` and nothing more.
 */
export async function pickUnawaited(
  tx: Transaction,
  wanted: PlacementClass,
  count: number,
  taken: readonly string[],
  strategy: StrategyType,
): Promise<Unawaited> {
  const { rank } = wanted;
  if (rank === null) return { devices: await pickDevices(tx, wanted, count, taken, strategy), awaited: [] };
  let picked: PickedDevice[] = [];
  let awaited = new Set<string>();
  for (let look = 0; look < LOOKS; look += 1) {
    const missing = count - (picked.length - awaited.size);
    const more = missing <= 0 ? [] : await pickDevices(tx, wanted, missing, [...taken, ...picked.map(({ id }) => id)], strategy);
    if (more.length === 0) break;
    picked = [...picked, ...more];
    const devices = await readDevices(
      tx,
      picked.map(({ id }) => id),
      'any',
    );
    const matches = matchDevices(devices, await readWaiters(tx, devices, devices.length, rank));
    awaited = new Set(matches.map(({ device }) => device.id));
  }
  return { devices: picked.filter(({ id }) => !awaited.has(id)).slice(0, count), awaited: [...awaited] };
}
