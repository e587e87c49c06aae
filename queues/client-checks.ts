import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { type AskedAllocationInput, askedAllocation } from '../shared/allocation/asked.ts';
import { partyId } from '../shared/allocation/party-id.ts';
import { DEFAULT_TIER, type TIER_WORDS, tierOf } from '../shared/allocation/tier.ts';
import type { AskedReservationInput } from '../shared/reservation/asked-reservation.ts';
import type { AskedEntryInput } from '../shared/waitlist/asked-entry.ts';
import type { JoinResult, NotAccepted, ReleaseResult, ReserveResult } from './client-results.ts';
import type { NewAllocate } from './jobs/allocate.ts';
import { joinPayload, type NewJoin } from './jobs/join.ts';
import { type ReleasePayload, releasePayload } from './jobs/release.ts';
import { type NewReserve, reservePayload } from './jobs/reserve.ts';

/** What is asked for. `requestId`: your own UUID makes repeating the call, also after a crash, harmless. */
export interface AllocateOptions extends AskedAllocationInput {
  readonly requestId?: string;
  /** State it where it is known: what is left out is not looked up, and takes its turns as the user's own. */
  readonly tenantId?: string | null;
  readonly tier?: (typeof TIER_WORDS)[number];
}

const parties = z.object({ requestId: z.guid(), userId: partyId, tenantId: partyId.nullable() });

/** Turns a caller's words into a job, or into the refusal that says what is wrong with them. */
export function checkRequest(
  request: AllocateOptions & { readonly userId: string },
  caller: string,
  replyTo: string,
): NewAllocate | NotAccepted {
  const { userId, requestId = randomUUID(), tenantId = null, tier = DEFAULT_TIER, ...asked } = request;
  const wish = askedAllocation.safeParse(asked);
  const who = parties.safeParse({ requestId, userId, tenantId });
  const known = tierOf(tier);
  if (wish.success && who.success && known !== undefined) {
    return { ...who.data, caller, source: 'client', tier: known, asked: wish.data, replyTo, acceptedAt: Date.now() };
  }
  const problems = [...problemsOf(wish.error), ...problemsOf(who.error), ...(known === undefined ? ['tier: is not known'] : [])];
  return { status: 'refused', requestId, code: 'VALIDATION_FAILED', reason: problems.join('; '), details: { problems } };
}

/**
 * Which allocation to end: by `allocationId`, or the newest one of `deviceId`; one of the two is stated. With `userId` it must be
 * that user's. `releaseId`: your own UUID makes repeating the call, also after a crash, harmless.
 */
export interface ReleaseOptions {
  readonly allocationId?: string;
  readonly deviceId?: string;
  readonly userId?: string;
  readonly fence?: number;
  readonly reason?: string;
  readonly releaseId?: string;
}

const namedOnce = releasePayload.refine(({ deviceId, allocationId }) => deviceId === undefined || allocationId === undefined, {
  message: 'is not stated together with allocationId',
  path: ['deviceId'],
});

/** Turns a caller's words into a job, or into the refusal that says what is wrong with them. */
export function checkRelease(
  { userId, ...named }: ReleaseOptions & { readonly releaseId: string },
  caller: string,
  replyTo: string,
): ReleasePayload | Extract<ReleaseResult, { code: 'VALIDATION_FAILED' }> {
  const checked = namedOnce.safeParse({ ...named, userId: userId ?? null, tenantId: null, caller, endReason: 'released', replyTo });
  if (checked.success) return checked.data;
  return { status: 'refused', code: 'VALIDATION_FAILED', details: { problems: problemsOf(checked.error) } };
}

/** What is booked. `reservationId`: your own UUID makes repeating the call, also after a crash, harmless. Times are ISO 8601. */
export interface ReserveOptions extends AskedReservationInput {
  readonly reservationId?: string;
  /** Left out: the tenant the user is known with. */
  readonly tenantId?: string | null;
  readonly tier?: (typeof TIER_WORDS)[number];
}

/** Turns a caller's words into a job, as they were said, or into the refusal that says what is wrong with them. */
export function checkReservation(
  request: ReserveOptions & { readonly userId: string; readonly reservationId: string },
  caller: string,
  replyTo: string,
): NewReserve | Extract<ReserveResult, { code: 'VALIDATION_FAILED' }> {
  const { userId, reservationId, tenantId = null, tier = DEFAULT_TIER, ...asked } = request;
  const job = { reservationId, caller, userId, tenantId, tier: tierOf(tier), asked, replyTo };
  const checked = reservePayload.safeParse(job);
  if (checked.success) return { ...job, tier: checked.data.tier };
  const problems = problemsOf(checked.error);
  return { status: 'refused', reservationId, code: 'VALIDATION_FAILED', reason: problems.join('; '), details: { problems } };
}

/** What is waited for. `requestId`: your own UUID makes repeating the call, also after a crash, harmless. */
export interface JoinOptions extends AskedEntryInput {
  readonly requestId?: string;
  /** Left out: the tenant the user is known with. */
  readonly tenantId?: string | null;
  readonly tier?: (typeof TIER_WORDS)[number];
}

/** Turns a caller's words into a job, as they were said, or into the refusal that says what is wrong with them. */
export function checkJoin(
  request: JoinOptions & { readonly userId: string; readonly requestId: string },
  caller: string,
  replyTo: string,
): NewJoin | Extract<JoinResult, { code: 'VALIDATION_FAILED' }> {
  const { userId, requestId, tenantId = null, tier = DEFAULT_TIER, ...asked } = request;
  const job = { requestId, caller, userId, tenantId, tier: tierOf(tier), asked, replyTo };
  const checked = joinPayload.safeParse(job);
  if (checked.success) return { ...job, tier: checked.data.tier };
  const problems = problemsOf(checked.error);
  return { status: 'refused', requestId, code: 'VALIDATION_FAILED', reason: problems.join('; '), details: { problems } };
}

/** Tells a job from a refusal. */
export function isNewAllocate(checked: NewAllocate | NotAccepted): checked is NewAllocate {
  return !('status' in checked);
}

/** What zod complains about, one text each, with the name of the field. */
export function problemsOf(error: z.ZodError | undefined): string[] {
  return error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];
}
