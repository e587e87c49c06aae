import { SchedulerError } from '../shared/errors.ts';
import { tenantOfUser } from '../shared/store/requests.ts';
import type { Caller } from './caller.ts';
import type { ServerDeps } from './deps.ts';

/** An admin acts for users of the own tenant. A user nobody has seen before belongs to whoever brings them. */
export async function assertOwnTenant({ store }: ServerDeps, caller: Caller, userId: string): Promise<void> {
  if (caller.role !== 'admin' || caller.id === userId) return;
  const known = await tenantOfUser(store, userId);
  if (known !== undefined && known !== caller.tenantId) {
    throw new SchedulerError('FORBIDDEN', { messages: ['The user belongs to another tenant.'], details: { field: 'userId' } });
  }
}
