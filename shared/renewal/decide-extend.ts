import { balanceRefusal, blockOf, isUnchecked, type Refusal } from '../allocation/decide-eligibility.ts';
import type { BalanceFact, UserFacts } from '../allocation/facts.ts';
import { termCost, uncoveredTerm } from '../allocation/full-term.ts';
import { isWithinReach, type Reach } from '../allocation/reach.ts';
import type { Tier } from '../allocation/tier.ts';
import type { RenewalPolicies, RenewalPolicy } from './policy.ts';

/** Who asks for how much more time. */
export interface ExtendRequest {
  readonly reach: Reach;
  readonly additionalMinutes: number;
  readonly fence: number | undefined;
}

/** An allocation as far as extending it goes, read under its lock. Times are instants of the database's clock. */
export interface ExtendFacts {
  readonly allocationId: string;
  readonly deviceId: string;
  readonly userId: string;
  readonly tenantId: string | null;
  /** The tier stored with the allocation, whatever its holder has become since. */
  readonly tier: Tier;
  readonly fence: number;
  /** Not ended, and its end not reached. */
  readonly live: boolean;
  /** From start to end, extensions included. */
  readonly durationMinutes: number;
  readonly expiresAt: Date;
  readonly extendCount: number;
  readonly lastExtendedAt: Date | null;
  /** The latest end the next reservation of the device leaves, with the gap it was promised; nothing: none is ahead. */
  readonly latestEnd: Date | null;
  readonly user: Pick<UserFacts, 'state' | 'inArrears'>;
  /** Of the device, and of the whole terms of all its user holds; read only where balances must cover whole terms. */
  readonly costPerHour?: number | null;
  readonly committed?: number;
}

/** What is in force for everybody. */
export interface RenewalRules {
  readonly policies: RenewalPolicies;
  readonly billingAllowOnError: boolean;
  /** Extend only what the balance covers to the new end. Left out: no. */
  readonly reserveFullTerm?: boolean;
}

/** An extension as it is told. `remainingExtends` -1: no limit. */
export interface Extended {
  readonly oldExpiresAt: Date;
  readonly newExpiresAt: Date;
  readonly additionalMinutes: number;
  readonly extendCount: number;
  readonly remainingExtends: number;
  readonly totalDurationMinutes: number;
}

export type ExtendDecision =
  | ({ readonly kind: 'extend'; readonly balanceUnchecked: boolean } & Extended)
  | { readonly kind: 'refused'; readonly refusal: Refusal };

interface Case {
  readonly additionalMinutes: number;
  readonly facts: ExtendFacts;
  readonly policy: RenewalPolicy;
  readonly rules: RenewalRules;
  /** Nothing while billing was not asked yet: then the balance decides later. */
  readonly balance: BalanceFact | undefined;
  readonly now: Date;
}

type Check = (extension: Case) => Refusal | undefined;

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/** What may stand in the way of an extension, in the order of the contract: the first that does is the answer. */
const CHECKS: readonly Check[] = [ended, countReached, tooManyMinutes, totalReached, coolingDown, tooEarly, reserved, unpaid];

/**
 * May this allocation have more time?
 *
 * In this order: exists · fence · active · count · minutes · total · cooldown · window · reservation · account and balance.
 *
 * @param facts    nothing if there is no such allocation
 * @param balance  nothing if billing was not asked yet; everything else is decided all the same
 */
export function decideExtend(
  request: ExtendRequest,
  facts: ExtendFacts | undefined,
  balance: BalanceFact | undefined,
  rules: RenewalRules,
  now: Date,
): ExtendDecision {
  if (facts === undefined || !isWithinReach(request.reach, facts)) {
    return refused({ code: 'ALLOCATION_NOT_FOUND', reason: 'there is no such allocation' });
  }
  if (request.fence !== undefined && request.fence < facts.fence) {
    const details = { fence: request.fence, current: facts.fence };
    return refused({ code: 'STALE_FENCE', reason: `the fence of the allocation is ${facts.fence}`, details });
  }
  const { additionalMinutes } = request;
  const policy = rules.policies[facts.tier];
  const extension: Case = { additionalMinutes, facts, policy, rules, balance, now };
  for (const check of CHECKS) {
    const refusal = check(extension);
    if (refusal !== undefined) return refused(refusal);
  }
  return { kind: 'extend', balanceUnchecked: balance !== undefined && isUnchecked(balance), ...extendedBy(extension) };
}

function extendedBy({ additionalMinutes, facts, policy }: Case): Extended {
  const extendCount = facts.extendCount + 1;
  return {
    oldExpiresAt: facts.expiresAt,
    newExpiresAt: later(facts.expiresAt, additionalMinutes * MINUTE_MS),
    additionalMinutes,
    extendCount,
    remainingExtends: remainingExtends(policy, extendCount),
    totalDurationMinutes: facts.durationMinutes + additionalMinutes,
  };
}

/** How many extensions are left after so many; -1: no limit. */
export function remainingExtends({ maxCount }: RenewalPolicy, extendCount: number): number {
  return maxCount === Infinity ? -1 : Math.max(0, maxCount - extendCount);
}

/** From when on the allocation may be extended as far as cooldown and window go. */
export function extendableFrom(facts: Pick<ExtendFacts, 'expiresAt' | 'lastExtendedAt'>, policy: RenewalPolicy): Date {
  const window = opensAt(facts, policy);
  const cooled = cooledAt(facts, policy);
  return cooled !== undefined && cooled > window ? cooled : window;
}

function ended({ facts }: Case): Refusal | undefined {
  return facts.live ? undefined : { code: 'ALLOCATION_ENDED', reason: 'the allocation has ended' };
}

function countReached({ facts, policy }: Case): Refusal | undefined {
  if (facts.extendCount < policy.maxCount) return undefined;
  const details = { limit: 'extends', max: policy.maxCount, current: facts.extendCount };
  return { code: 'EXTEND_COUNT_REACHED', reason: `${policy.maxCount} extensions are the most of this tier`, details };
}

function tooManyMinutes({ additionalMinutes, policy }: Case): Refusal | undefined {
  const max = policy.maxMinutesEach;
  if (additionalMinutes <= max) return undefined;
  const details = { field: 'additionalMinutes', max };
  return { code: 'VALIDATION_FAILED', reason: `additionalMinutes: at most ${max} in this tier`, details };
}

function totalReached({ additionalMinutes, facts, policy }: Case): Refusal | undefined {
  const { maxTotalMinutes: max } = policy;
  const current = facts.durationMinutes;
  if (current + additionalMinutes <= max) return undefined;
  const details = { limit: 'totalMinutes', max, current, left: Math.max(0, max - current) };
  return { code: 'EXTEND_TOTAL_REACHED', reason: `${max} minutes in all are the most of this tier`, details };
}

function coolingDown({ facts, policy, now }: Case): Refusal | undefined {
  const at = cooledAt(facts, policy);
  if (at === undefined || at <= now) return undefined;
  const retryAfterSeconds = Math.ceil((at.getTime() - now.getTime()) / SECOND_MS);
  const details = { availableAt: at.toISOString(), retryAfterSeconds };
  return { code: 'EXTEND_COOLDOWN', reason: `${policy.cooldownSeconds} s must lie between two extensions`, details };
}

function tooEarly({ facts, policy, now }: Case): Refusal | undefined {
  const at = opensAt(facts, policy);
  if (at <= now) return undefined;
  return {
    code: 'EXTEND_TOO_EARLY',
    reason: `an extension is possible in the last ${policy.windowMinutes} minutes`,
    details: { availableAt: at.toISOString() },
  };
}

function reserved({ additionalMinutes, facts }: Case): Refusal | undefined {
  const { latestEnd } = facts;
  if (latestEnd === null || later(facts.expiresAt, additionalMinutes * MINUTE_MS) <= latestEnd) return undefined;
  return { code: 'RESERVED_BY_OTHER', reason: 'the device is reserved', details: { latestEnd: latestEnd.toISOString() } };
}

function unpaid({ additionalMinutes, facts, balance, rules }: Case): Refusal | undefined {
  const blocked = blockOf(facts.user);
  if (blocked !== undefined || balance === undefined) return blocked;
  const { committed = 0, costPerHour } = facts;
  const cost = rules.reserveFullTerm === true ? termCost(costPerHour, additionalMinutes) : 0;
  return balanceRefusal(balance, rules) ?? uncoveredTerm(balance, committed, cost);
}

function opensAt({ expiresAt }: Pick<ExtendFacts, 'expiresAt'>, { windowMinutes }: RenewalPolicy): Date {
  return later(expiresAt, -windowMinutes * MINUTE_MS);
}

function cooledAt({ lastExtendedAt }: Pick<ExtendFacts, 'lastExtendedAt'>, { cooldownSeconds }: RenewalPolicy): Date | undefined {
  return lastExtendedAt === null ? undefined : later(lastExtendedAt, cooldownSeconds * SECOND_MS);
}

function later(time: Date, ms: number): Date {
  return new Date(time.getTime() + ms);
}

function refused(refusal: Refusal): ExtendDecision {
  return { kind: 'refused', refusal };
}
