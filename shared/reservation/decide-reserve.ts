import { blockOf, type Refusal } from '../allocation/decide-eligibility.ts';
import type { UserFacts } from '../allocation/facts.ts';
import type { Busy } from './free-slots.ts';

/** A reservation of the same user that overlaps. */
export interface OwnConflict extends Busy {
  readonly reservationId: string;
}

/** What is known when somebody asks for a time; read under the user's lock. */
export interface ReserveFacts {
  readonly now: Date;
  readonly user: Pick<UserFacts, 'state' | 'inArrears'>;
  readonly startsAt: Date;
  readonly ownConflicts: readonly OwnConflict[];
}

export type ReserveDecision = { readonly kind: 'eligible' } | { readonly kind: 'refused'; readonly refusal: Refusal };

/**
 * May this user book this time, leaving aside which device?
 *
 * In this order: start in the past · user deleted, suspended, in arrears · a reservation of their own at that time. Balance
 * and quota are looked at when it starts: they may be other ones then.
 */
export function decideReserve({ now, user, startsAt, ownConflicts }: ReserveFacts): ReserveDecision {
  const past = pastStart(startsAt, now);
  if (past !== undefined) return { kind: 'refused', refusal: past };
  const blocked = blockOf(user);
  if (blocked !== undefined) return { kind: 'refused', refusal: blocked };
  if (ownConflicts.length > 0) {
    return refused('RESERVATION_CONFLICT', 'the user has reserved something at that time', { conflicts: ownConflicts.map(viewConflict) });
  }
  return { kind: 'eligible' };
}

/** Why nothing can be booked from such a time on, if it is over. */
export function pastStart(startsAt: Date, now: Date): Refusal | undefined {
  if (startsAt > now) return undefined;
  const details = { field: 'reservedStartTime', now: now.toISOString() };
  return { code: 'VALIDATION_FAILED', reason: 'reservedStartTime: must not be in the past', details };
}

/** What stands in the way, as callers are told. */
export function viewConflict({ reservationId, from, to }: OwnConflict) {
  return { reservationId, reservedStartTime: from.toISOString(), reservedEndTime: to.toISOString() };
}

function refused(code: Refusal['code'], reason: string, details: Refusal['details'] & object): ReserveDecision {
  return { kind: 'refused', refusal: { code, reason, details } };
}
