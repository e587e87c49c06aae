import { describe, expect, test } from '@jest/globals';
import { TIER_PRIORITY, TIER_WORDS, TIERS, tierOf } from './tier.ts';

describe('tierOf', () => {
  test.each(TIERS)('knows %s', (tier) => {
    expect(tierOf(tier)).toBe(tier);
  });

  test('resolves the names the platform also uses', () => {
    expect(tierOf('basic')).toBe('standard');
    expect(tierOf('pro')).toBe('premium');
  });

  test('resolves every word it lists', () => {
    expect(TIER_WORDS.map(tierOf)).not.toContain(undefined);
  });

  test.each(['', 'gold', 'Free', '__proto__', 'toString'])('does not know %j', (word) => {
    expect(tierOf(word)).toBeUndefined();
  });
});

test('a higher tier never has a lower priority', () => {
  const priorities = TIERS.map((tier) => TIER_PRIORITY[tier]);
  expect(priorities).toEqual([...priorities].sort((a, b) => a - b));
});
