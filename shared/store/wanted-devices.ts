import { matchDevices } from '../waitlist/match-devices.ts';
import { readDevices } from './free-devices.ts';
import type { Transaction } from './store.ts';
import { readWaiters } from './waiters.ts';

/**
 * Which of these devices people wait for: those that would be given out, were all of them free now. Held or not makes no
 * difference. One who waits wants one device, however many would do.
 */
export async function wantedDevices(tx: Pick<Transaction, '$queryRaw'>, deviceIds: readonly string[]): Promise<ReadonlySet<string>> {
  const devices = await readDevices(tx, deviceIds, 'any');
  const waiters = await readWaiters(tx, devices, devices.length);
  return new Set(matchDevices(devices, waiters).map(({ device }) => device.id));
}
