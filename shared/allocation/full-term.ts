import type { Refusal } from './decide-eligibility.ts';
import type { BalanceFact } from './facts.ts';

/** A sum of prices may come out a hair above what it stands for in floating point; that refuses nobody. */
const ROUNDING = 1 + 1e-9;
const HOUR_MINUTES = 60;

/** What a device costs for a term, in the unit of balances. One without a price costs nothing. */
export function termCost(costPerHour: number | null | undefined, minutes: number): number {
  return ((costPerHour ?? 0) * minutes) / HOUR_MINUTES;
}

/**
 * The dearest device a balance covers for a whole term, per hour; `Infinity` where billing gave none, which its own policy
 * decides about.
 *
 * @param committed  what the terms of the devices held already cost
 */
export function dearestCovered(balance: BalanceFact, committed: number, minutes: number): number {
  if (balance.kind === 'unavailable') return Infinity;
  return ((Math.max(0, Number(balance.balance) - committed) * HOUR_MINUTES) / minutes) * ROUNDING;
}

/** Why a balance does not allow a term of this cost; nothing if it does, or if the term costs nothing. */
export function uncoveredTerm(balance: BalanceFact, committed: number, cost: number): Refusal | undefined {
  if (balance.kind === 'unavailable' || cost <= 0) return undefined;
  const held = Number(balance.balance);
  const required = committed + cost;
  return required <= held * ROUNDING ? undefined : uncovered(required, held);
}

/** The refusal: what the terms of all devices would cost together, and what there is. */
export function uncovered(required: number, balance: number): Refusal {
  const details = { required: Number(required.toFixed(6)), balance };
  return { code: 'INSUFFICIENT_BALANCE', reason: `the balance of ${balance} does not cover the whole term`, details };
}
