import type { ErrorCode, ErrorDetails } from '../errors.ts';
import { decideLimits } from '../quota/decide-limits.ts';
import { type Limits, limitHit, type Use } from '../quota/limits.ts';
import type { AllocationRequest, BalanceFact, ExistingRequest, GatheredRequest, OutagePolicy, UserFacts } from './facts.ts';

/** Why a request gets no device: a code of the catalogue, a sentence, data to act on. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly details?: ErrorDetails;
}

/** The named answers of this decision. */
export type Eligibility =
  | { readonly kind: 'eligible'; readonly limits: Limits; readonly quotaUnchecked: boolean; readonly balanceUnchecked: boolean }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'timed-out' }
  | { readonly kind: 'settled' };

/**
 * May this request have a device at all, leaving aside which one?
 *
 * In this order: decided before (a repeat) · deadline · user deleted, suspended, in arrears · quota · balance · limits.
 *
 * @param use  the user's live use, with what this group has given out already
 */
export function decideEligibility(
  { request, quota, balance }: GatheredRequest,
  existing: ExistingRequest | undefined,
  user: UserFacts,
  use: Use,
  policy: OutagePolicy,
  now: Date,
): Eligibility {
  if (existing !== undefined && existing.status !== 'pending' && existing.status !== 'waiting') return { kind: 'settled' };
  if (existing?.deadline != null && existing.deadline <= now) return { kind: 'timed-out' };
  const blocked = blockOf(user);
  if (blocked !== undefined) return { kind: 'refused', refusal: blocked };
  const limits = decideLimits(quota, user.lastKnownLimits, policy, now);
  if (limits.kind === 'refused') return limits;
  const unpaid = balanceRefusal(balance, policy);
  if (unpaid !== undefined) return { kind: 'refused', refusal: unpaid };
  const hit = limitHit(limits.limits, use, leastSize(request));
  if (hit !== undefined)
    return {
      kind: 'refused',
      refusal: { code: 'QUOTA_EXCEEDED', reason: `${hit.limit} is ${hit.max}, in use ${hit.current}`, details: { ...hit } },
    };
  return { kind: 'eligible', limits: limits.limits, quotaUnchecked: limits.unchecked, balanceUnchecked: isUnchecked(balance) };
}

/** Whether billing has not said so now: it is away. */
export function isUnchecked(balance: BalanceFact): boolean {
  return balance.kind === 'unavailable' || balance.stale === true;
}

/** The smallest device that could satisfy the request. */
export function leastSize(request: AllocationRequest) {
  const specs = request.asked.preferredSpecs;
  return { cpuCores: specs?.minCpu ?? 0, memoryMB: specs?.minMemory ?? 0, storageMB: specs?.minStorage ?? 0 };
}

/** Why this user gets nothing at all, if so. */
export function blockOf(user: Pick<UserFacts, 'state' | 'inArrears'>): Refusal | undefined {
  if (user.state === 'deleted') return { code: 'USER_DELETED', reason: 'the user is deleted' };
  if (user.state === 'suspended') return { code: 'USER_SUSPENDED', reason: 'the user is suspended' };
  if (user.inArrears) return { code: 'ACCOUNT_IN_ARREARS', reason: 'the account is in arrears' };
  return undefined;
}

/** What stands in the way by the word of the billing-service, or by its silence where that counts as a no. */
export function balanceRefusal(balance: BalanceFact, policy: Pick<OutagePolicy, 'billingAllowOnError'>): Refusal | undefined {
  if (balance.kind === 'refused') {
    return { code: 'INSUFFICIENT_BALANCE', reason: `the account is ${balance.status}`, details: { status: balance.status } };
  }
  if (balance.kind === 'unavailable' && !policy.billingAllowOnError) return { code: 'BILLING_UNAVAILABLE', reason: balance.reason };
  return undefined;
}
