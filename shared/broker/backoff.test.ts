import { describe, expect, test } from '@jest/globals';
import { backoffDelay } from './backoff.ts';

const backoff = { baseMs: 200, maxMs: 30_000 };

describe('backoff', () => {
  test('the pause doubles with every attempt', () => {
    expect([1, 2, 3, 4].map((attempt) => backoffDelay(attempt, backoff, () => 1))).toEqual([200, 400, 800, 1_600]);
  });

  test('the pause never passes its limit, however often it failed', () => {
    expect(backoffDelay(9, backoff, () => 1)).toBe(30_000);
    expect(backoffDelay(100_000, backoff, () => 1)).toBe(30_000);
  });

  test('half of the pause is random, so that a herd is spread', () => {
    expect(backoffDelay(2, backoff, () => 0)).toBe(200);
    const pauses = new Set(Array.from({ length: 20 }, () => backoffDelay(8, backoff)));
    expect(pauses.size).toBeGreaterThan(10);
  });
});
