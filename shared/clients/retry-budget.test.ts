import { expect, test } from '@jest/globals';
import { createRetryBudget } from './retry-budget.ts';

test('the budget of repeats is spent, and earned back by calls up to its size', () => {
  const budget = createRetryBudget(2, 0.5);
  expect([budget.spend(), budget.spend(), budget.spend()]).toEqual([true, true, false]);
  budget.earn();
  expect(budget.spend()).toBe(false);
  budget.earn();
  expect(budget.spend()).toBe(true);
  for (let call = 0; call < 100; call += 1) budget.earn();
  expect([budget.spend(), budget.spend(), budget.spend()]).toEqual([true, true, false]);
});
