import { type Account, accountOf, USERS, userIdOf } from './made-up-load.ts';

/** Leases a usual user may have at once. */
const USUAL_MOST = 6;

interface Neighbours {
  readonly userService: string;
  readonly billingService: string;
}

/** Tells the stand-ins which users have no quota, an expired one, room for one device, or no money. */
export async function setAccounts({ userService, billingService }: Neighbours): Promise<void> {
  await post(`${userService}/control/default-quota`, { limits: { maxDevices: USUAL_MOST } });
  for (let number = 0; number < USERS; number += 1) {
    const [account, userId] = [accountOf(number), userIdOf(number)];
    if (account === 'no balance') await post(`${billingService}/control/balance`, { userId, balance: 0, status: 'insufficient' });
    else if (account !== 'usual') await post(`${userService}/control/quota`, { userId, quota: quotaOf(account) });
  }
}

/** Says how many devices a user may have. */
export async function setLimit(userService: string, userId: string, maxDevices: number | 'no quota'): Promise<void> {
  await post(`${userService}/control/quota`, { userId, quota: maxDevices === 'no quota' ? 'none' : { limits: { maxDevices } } });
}

function quotaOf(account: Account): unknown {
  if (account === 'no quota') return 'none';
  if (account === 'expired quota') return { status: 'expired' };
  return { limits: { maxDevices: 1 } };
}

async function post(url: string, body: unknown): Promise<void> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
}
