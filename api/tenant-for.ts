import { SchedulerError } from '../shared/errors.ts';
import { tenantOfUser } from '../shared/store/requests.ts';
import type { Store } from '../shared/store/store.ts';
import { assertMaySpeakFor, type Caller } from './caller.ts';

/**
 * The tenant something is done for, by the one rule of every door: the stated one; else the caller's, if the caller acts for
 * themselves or administers a tenant; else the one the user is known with; else none.
 *
 * @throws SchedulerError FORBIDDEN for a tenant the caller may not speak for, and for an admin's user of another tenant
 */
export async function tenantFor(store: Store, caller: Caller, userId: string, stated: string | undefined): Promise<string | null> {
  const said = tenantSaid(caller, userId, stated);
  if (said !== undefined && !bringsSomebody(caller, userId)) return said;
  return tenantGiven(caller, userId, said, await tenantOfUser(store, userId));
}

/**
 * What of the rule needs no look at the user.
 *
 * @returns the tenant, `null` for none; nothing where it is the one the user is known with
 * @throws SchedulerError FORBIDDEN for a tenant the caller may not speak for
 */
export function tenantSaid(caller: Caller, userId: string, stated: string | undefined): string | null | undefined {
  assertMaySpeakFor(caller, stated);
  if (stated !== undefined) return stated;
  if (caller.role === 'service') return undefined;
  return caller.role === 'super' && caller.id !== userId ? undefined : caller.tenantId;
}

/**
 * The rest of the rule. An admin acts for users of the own tenant; a user nobody has seen before belongs to whoever brings them.
 *
 * @param said   as `tenantSaid` has it
 * @param known  the tenant the user is known with, `null` for none; nothing if nobody has seen the user
 * @throws SchedulerError FORBIDDEN for an admin's user of another tenant
 */
export function tenantGiven(
  caller: Caller,
  userId: string,
  said: string | null | undefined,
  known: string | null | undefined,
): string | null {
  if (bringsSomebody(caller, userId) && known !== undefined && known !== caller.tenantId) {
    throw new SchedulerError('FORBIDDEN', { messages: ['The user belongs to another tenant.'], details: { field: 'userId' } });
  }
  return said === undefined ? (known ?? null) : said;
}

/** Whether the tenant the user is known with decides if the call is allowed at all. */
export function bringsSomebody(caller: Caller, userId: string): boolean {
  return caller.role === 'admin' && caller.id !== userId;
}
