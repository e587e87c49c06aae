import { describe, expect, test } from '@jest/globals';
import { dearestCovered, termCost, uncoveredTerm } from './full-term.ts';

const balance = (amount: number | string) => ({ kind: 'allowed', status: 'active', balance: amount }) as const;
const AWAY = { kind: 'unavailable', reason: 'no answer' } as const;

describe('the whole term', () => {
  test.each([
    [2, 90, 3],
    [0.5, 1, 0.5 / 60],
    [null, 60, 0],
    [undefined, 60, 0],
  ])('of a device of %p an hour costs for %p minutes %p', (costPerHour, minutes, cost) => {
    expect(termCost(costPerHour, minutes)).toBeCloseTo(cost, 12);
  });

  test.each([
    ['just covers', balance('3.00'), 0, 3],
    ['covers what is left beside other terms', balance(5), 2, 3],
    ['covers in spite of floating point', balance(0.3), 0.1, 0.2],
    ['covers what is free, even if in debt', balance(-5), 0, 0],
    ['covers what nobody knows, for the policy of outages', AWAY, 0, 100],
  ])('is allowed by a balance that %s', (_, fact, committed, cost) => {
    expect(uncoveredTerm(fact, committed, cost)).toBeUndefined();
  });

  test('is refused with what it takes and what there is', () => {
    expect(uncoveredTerm(balance('4.99'), 2, 3)).toMatchObject({
      code: 'INSUFFICIENT_BALANCE',
      details: { required: 5, balance: 4.99 },
    });
  });

  test('caps the price of a device', () => {
    expect(dearestCovered(balance('3'), 0, 90)).toBeCloseTo(2, 6);
    expect(dearestCovered(balance(3), 0, 90)).toBeGreaterThanOrEqual(2);
    expect(dearestCovered(balance(3), 5, 90)).toBe(0);
    expect(dearestCovered(AWAY, 0, 60)).toBe(Infinity);
  });
});
