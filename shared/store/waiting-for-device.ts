import { matchDevices } from '../waitlist/match-devices.ts';
import { readDevices } from './free-devices.ts';
import type { Transaction } from './store.ts';
import { readWaiters } from './waiters.ts';

/** Whether somebody waits who could use this device, were it free now. Held by somebody or not makes no difference. */
export async function isWaitedFor(tx: Pick<Transaction, '$queryRaw'>, deviceId: string): Promise<boolean> {
  const devices = await readDevices(tx, [deviceId], 'any');
  const waiters = await readWaiters(tx, devices, 1);
  return matchDevices(devices, waiters).length > 0;
}
