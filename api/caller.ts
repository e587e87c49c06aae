import { DEFAULT_TIER, type Tier, tierOf } from '../shared/allocation/tier.ts';
import { SchedulerError } from '../shared/errors.ts';
import type { Ownership } from '../shared/store/fleet.ts';
import type { Reach } from '../shared/store/reach.ts';

/**
 * Who calls. A `user` acts for itself, an `admin` for its tenant, a `super` admin and a listed `service` for everybody.
 *
 * An admin whose token names no tenant administers what belongs to no tenant.
 */
export interface Caller {
  readonly role: 'user' | 'admin' | 'super' | 'service';
  /** The user's id or the service's name. */
  readonly id: string;
  /** Role-independent and unique: `user:<id>` or `service:<name>`. */
  readonly key: string;
  readonly tenantId: string | null;
  /** The tier a user's token states, if any. */
  readonly tier: Tier | null;
}

/** Whether the caller is this user in person, not somebody who acts for them. */
export function isUser(caller: Caller, userId: string): boolean {
  return caller.role !== 'service' && caller.id === userId;
}

/** True for everyone but plain users. */
export function isAdministrative(caller: Caller): boolean {
  return caller.role !== 'user';
}

/** Whose rows the caller may see. */
export function reachOf(caller: Caller): Reach {
  if (caller.role === 'user') return { kind: 'user', userId: caller.id };
  if (caller.role === 'admin') return { kind: 'tenant', tenantId: caller.tenantId, userId: caller.id };
  return { kind: 'all' };
}

/** Whose devices the caller may change. Plain users never get here. */
export function ownershipOf(caller: Caller): Ownership {
  return caller.role === 'admin' ? { kind: 'tenant', tenantId: caller.tenantId } : { kind: 'all' };
}

/** @throws SchedulerError FORBIDDEN when a user names somebody else */
export function assertMayActFor(caller: Caller, userId: string): void {
  if (caller.role === 'user' && userId !== caller.id) {
    throw new SchedulerError('FORBIDDEN', { messages: ['A user acts on their own userId only.'], details: { field: 'userId' } });
  }
}

/** @throws SchedulerError FORBIDDEN when a user or the admin of a tenant states another tenant than the own */
export function assertMaySpeakFor(caller: Caller, tenantId: string | undefined): void {
  if (tenantId === undefined || caller.role === 'super' || caller.role === 'service' || tenantId === caller.tenantId) return;
  throw new SchedulerError('FORBIDDEN', { messages: ['The tenant is not the one of this caller.'], details: { field: 'tenantId' } });
}

/**
 * The tenant a device is brought for: the stated one, else the one the admin administers, else none.
 *
 * @throws SchedulerError FORBIDDEN for a tenant that is not the caller's
 */
export function tenantOfDevice(caller: Caller, stated: string | undefined): string | undefined {
  assertMaySpeakFor(caller, stated);
  return stated ?? (caller.role === 'admin' ? (caller.tenantId ?? undefined) : undefined);
}

/**
 * The tier is the one of the user: a service states it, a user's own token says it, anybody else's does not count.
 *
 * @throws SchedulerError FORBIDDEN for a tier that somebody else states
 */
export function tierFor(caller: Caller, userId: string, stated: string | undefined): Tier {
  if (stated !== undefined && caller.role !== 'service') {
    throw new SchedulerError('FORBIDDEN', { messages: ['Only a service may state a tier.'], details: { field: 'userTier' } });
  }
  if (stated !== undefined) return tierOf(stated) ?? DEFAULT_TIER;
  return (caller.role !== 'service' && caller.id === userId ? caller.tier : null) ?? DEFAULT_TIER;
}
