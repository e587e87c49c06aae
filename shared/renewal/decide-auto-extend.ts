import type { BalanceFact } from '../allocation/facts.ts';
import type { ErrorCode } from '../errors.ts';
import { decideExtend, type ExtendDecision, type ExtendFacts, type RenewalRules } from './decide-extend.ts';

const MINUTE_MS = 60_000;

/** Named answers: extended by so much, or left to run out, and why. */
export type AutoExtendDecision =
  | Extract<ExtendDecision, { kind: 'extend' }>
  | { readonly kind: 'left'; readonly why: ErrorCode | 'SOMEBODY_WAITS' };

/**
 * Should this allocation, whose holder asked for `autoExtend`, get more time without being asked?
 *
 * Only while nobody waits for the device. It gets as much as one extension may add, less where the tier's total or the
 * next reservation leaves less; every limit of an extension that is asked for holds here too.
 *
 * @param wanted  somebody waits for this device
 */
export function decideAutoExtend(
  facts: ExtendFacts,
  wanted: boolean,
  balance: BalanceFact | undefined,
  rules: RenewalRules,
  now: Date,
): AutoExtendDecision {
  if (wanted) return { kind: 'left', why: 'SOMEBODY_WAITS' };
  const request = { reach: { kind: 'all' }, additionalMinutes: Math.max(1, minutesLeft(facts, rules)), fence: undefined } as const;
  const decision = decideExtend(request, facts, balance, rules, now);
  return decision.kind === 'extend' ? decision : { kind: 'left', why: decision.refusal.code };
}

/** Whole minutes the allocation may grow by at once. */
function minutesLeft(facts: ExtendFacts, rules: RenewalRules): number {
  const { maxMinutesEach, maxTotalMinutes } = rules.policies[facts.tier];
  const { latestEnd, expiresAt } = facts;
  const untilReserved = latestEnd === null ? Infinity : Math.floor((latestEnd.getTime() - expiresAt.getTime()) / MINUTE_MS);
  return Math.min(maxMinutesEach, maxTotalMinutes - facts.durationMinutes, untilReserved);
}
