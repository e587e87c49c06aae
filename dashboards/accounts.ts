import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** What somebody who is logged in may do: look, or also change queues. */
export type Role = 'viewer' | 'operator';

/** A name and password that open the dashboard. */
export interface Account {
  readonly username: string;
  readonly password: string;
  readonly role: Role;
}

/** What the environment says of who may log in. */
export interface AccountSettings {
  readonly DASHBOARD_USER: string;
  readonly DASHBOARD_PASSWORD: string;
  readonly DASHBOARD_VIEWER_USER: string;
  readonly DASHBOARD_VIEWER_PASSWORD?: string | undefined;
}

/** The operator, and a viewer where one has a password. */
export function accountsFrom(settings: AccountSettings): readonly Account[] {
  const { DASHBOARD_USER, DASHBOARD_PASSWORD, DASHBOARD_VIEWER_USER, DASHBOARD_VIEWER_PASSWORD } = settings;
  const operator: Account = { username: DASHBOARD_USER, password: DASHBOARD_PASSWORD, role: 'operator' };
  if (DASHBOARD_VIEWER_PASSWORD === undefined) return [operator];
  return [operator, { username: DASHBOARD_VIEWER_USER, password: DASHBOARD_VIEWER_PASSWORD, role: 'viewer' }];
}

// Comparing keyed digests of equal length takes the same time whatever was typed, and however long it is.
const key = randomBytes(32);
const digest = (text: string) => createHmac('sha256', key).update(text).digest();
const same = (one: string, other: string) => timingSafeEqual(digest(one), digest(other));

/** The account somebody typed the name and password of. Looks at every account, so that time tells nothing. */
export function findAccount(accounts: readonly Account[], username: string, password: string): Account | undefined {
  const matches = accounts.filter((account) => {
    const [nameFits, passwordFits] = [same(account.username, username), same(account.password, password)];
    return nameFits && passwordFits;
  });
  return matches[0];
}
