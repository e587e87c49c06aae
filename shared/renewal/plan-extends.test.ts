import { describe, expect, test } from '@jest/globals';
import type { ExtendFacts, RenewalRules } from './decide-extend.ts';
import { type AskedExtension, type ExtendGroupFacts, extensionIdOf, planExtends } from './plan-extends.ts';
import { RENEWAL_POLICIES } from './policy.ts';

const NOW = new Date('2026-01-01T10:00:00Z');
const inMinutes = (minutes: number) => new Date(NOW.getTime() + minutes * 60_000);
const RULES: RenewalRules = { policies: RENEWAL_POLICIES, billingAllowOnError: true };
const ALLOWED = { kind: 'allowed', status: 'active', balance: 1 } as const;

const allocation = (changes: Partial<ExtendFacts> = {}): ExtendFacts => ({
  allocationId: 'a',
  deviceId: 'd',
  userId: 'ann',
  tenantId: null,
  tier: 'enterprise',
  fence: 1,
  live: true,
  durationMinutes: 60,
  expiresAt: inMinutes(2),
  extendCount: 0,
  lastExtendedAt: null,
  latestEnd: null,
  user: { state: 'active', inArrears: false },
  ...changes,
});

const group = (one: ExtendFacts, changes: Partial<ExtendGroupFacts> = {}): ExtendGroupFacts => ({
  now: NOW,
  allocations: new Map([[one.allocationId, one]]),
  done: new Map(),
  wanted: new Set(),
  ...changes,
});

const asked = (extensionId: string, changes: Partial<AskedExtension> = {}): AskedExtension => ({
  kind: 'asked',
  extensionId,
  allocationId: 'a',
  reach: { kind: 'all' },
  additionalMinutes: 10,
  fence: undefined,
  balance: ALLOWED,
  reason: null,
  by: 'user:ann',
  ...changes,
});

const automatic = { kind: 'automatic', allocationId: 'a', balance: ALLOWED } as const;

describe('extensions of one group', () => {
  test('of one allocation are decided one after the other', () => {
    const results = planExtends([asked('1'), asked('2')], group(allocation()), RULES);
    expect(results).toMatchObject([
      { status: 'extended', extension: { oldExpiresAt: inMinutes(2), newExpiresAt: inMinutes(12), extendCount: 1 } },
      {
        status: 'extended',
        extension: { oldExpiresAt: inMinutes(12), newExpiresAt: inMinutes(22), extendCount: 2, totalDurationMinutes: 80 },
      },
    ]);
  });

  test('meet the cooldown that the first one begins', () => {
    const results = planExtends([asked('1'), asked('2')], group(allocation({ tier: 'standard' })), RULES);
    expect(results).toMatchObject([{ status: 'extended' }, { status: 'refused', refusal: { code: 'EXTEND_COOLDOWN' } }]);
  });

  test('with one id are one extension', () => {
    const [first, second] = planExtends([asked('1'), asked('1')], group(allocation()), RULES);
    expect(second).toEqual({ ...first, repeated: true });
  });

  test('that are written already are answered as they were, but to nobody else', () => {
    const before = planExtends([asked('1')], group(allocation()), RULES)[0];
    if (before?.status !== 'extended') throw new Error('not extended');
    const done = new Map([['1', before.extension]]);
    const later = group(allocation({ live: false, extendCount: 1 }), { done });
    expect(planExtends([asked('1')], later, RULES)).toEqual([{ ...before, repeated: true }]);
    const eve = asked('1', { reach: { kind: 'user', userId: 'eve' } });
    expect(planExtends([eve], later, RULES)).toMatchObject([{ refusal: { code: 'ALLOCATION_NOT_FOUND' } }]);
  });
});

describe('an automatic extension', () => {
  const standard = (changes: Partial<ExtendFacts> = {}) => allocation({ tier: 'standard', ...changes });
  const minutesOf = (facts: ExtendGroupFacts) => {
    const [result] = planExtends([automatic], facts, RULES);
    return result?.status === 'extended' ? result.extension.additionalMinutes : result;
  };

  test('is as long as one extension may be', () => {
    expect(minutesOf(group(standard()))).toBe(60);
    expect(planExtends([automatic], group(standard()), RULES)).toMatchObject([
      { extension: { automatic: true, by: 'scheduler', extensionId: extensionIdOf('automatic-1', 'a') } },
    ]);
  });

  test('is left when it ends at another time by now than when it was found due', () => {
    const one = standard();
    const found = { ...automatic, endsAt: one.expiresAt };
    expect(planExtends([found], group(one), RULES)).toMatchObject([{ status: 'extended' }]);
    const later = standard({ expiresAt: new Date(one.expiresAt.getTime() + 1) });
    expect(planExtends([found], group(later), RULES)).toEqual([{ status: 'left', allocationId: 'a', why: 'EXTENDED_MEANWHILE' }]);
  });

  test('is shorter where the total or a reservation leaves less', () => {
    expect(minutesOf(group(standard({ durationMinutes: 450 })))).toBe(30);
    expect(minutesOf(group(standard({ latestEnd: inMinutes(9.5) })))).toBe(7);
  });

  test('is left where somebody waits, and where any limit says no', () => {
    const left = (why: string) => ({ status: 'left', allocationId: 'a', why });
    expect(minutesOf(group(standard(), { wanted: new Set(['a']) }))).toEqual(left('SOMEBODY_WAITS'));
    expect(minutesOf(group(standard({ durationMinutes: 480 })))).toEqual(left('EXTEND_TOTAL_REACHED'));
    expect(minutesOf(group(standard({ durationMinutes: 500 })))).toEqual(left('EXTEND_TOTAL_REACHED'));
    expect(minutesOf(group(standard({ extendCount: 5 })))).toEqual(left('EXTEND_COUNT_REACHED'));
    expect(minutesOf(group(standard({ latestEnd: inMinutes(2) })))).toEqual(left('RESERVED_BY_OTHER'));
    expect(minutesOf(group(standard({ live: false })))).toEqual(left('ALLOCATION_ENDED'));
    expect(planExtends([{ ...automatic, allocationId: 'b' }], group(standard()), RULES)).toMatchObject([{ why: 'ALLOCATION_NOT_FOUND' }]);
    const poor = { ...automatic, balance: { kind: 'refused', status: 'insufficient', balance: 0 } } as const;
    expect(planExtends([poor], group(standard()), RULES)).toEqual([left('INSUFFICIENT_BALANCE')]);
  });
});
