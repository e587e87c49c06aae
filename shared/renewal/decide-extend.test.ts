import { describe, expect, test } from '@jest/globals';
import { decideExtend, type ExtendFacts, type ExtendRequest, extendableFrom, type RenewalRules } from './decide-extend.ts';
import { RENEWAL_POLICIES } from './policy.ts';

const NOW = new Date('2026-01-01T10:00:00Z');
const inMinutes = (minutes: number) => new Date(NOW.getTime() + minutes * 60_000);

const RULES: RenewalRules = { policies: RENEWAL_POLICIES, billingAllowOnError: true };
const ALLOWED = { kind: 'allowed', status: 'active', balance: 1 } as const;

/** A standard allocation of an hour that ends in half an hour. */
const facts = (changes: Partial<ExtendFacts> = {}): ExtendFacts => ({
  allocationId: 'a',
  deviceId: 'd',
  userId: 'ann',
  tenantId: 'acme',
  tier: 'standard',
  fence: 7,
  live: true,
  durationMinutes: 60,
  expiresAt: inMinutes(30),
  extendCount: 0,
  lastExtendedAt: null,
  latestEnd: null,
  user: { state: 'active', inArrears: false },
  ...changes,
});

const request = (changes: Partial<ExtendRequest> = {}): ExtendRequest => ({
  reach: { kind: 'user', userId: 'ann' },
  additionalMinutes: 20,
  fence: 7,
  ...changes,
});

function codeOf(changes: Partial<ExtendFacts>, asked: Partial<ExtendRequest> = {}, rules = RULES): string {
  const decision = decideExtend(request(asked), facts(changes), ALLOWED, rules, NOW);
  return decision.kind === 'refused' ? decision.refusal.code : 'extend';
}

/** Each breaks one check, in the order they are made; the sentence is part of the contract. */
const BROKEN: readonly { readonly code: string; readonly changes?: Partial<ExtendFacts>; readonly asked?: Partial<ExtendRequest> }[] = [
  { code: 'ALLOCATION_NOT_FOUND', asked: { reach: { kind: 'user', userId: 'eve' } } },
  { code: 'STALE_FENCE', asked: { fence: 6 } },
  { code: 'ALLOCATION_ENDED', changes: { live: false } },
  { code: 'EXTEND_COUNT_REACHED', changes: { extendCount: 5 } },
  { code: 'VALIDATION_FAILED', asked: { additionalMinutes: 61 } },
  { code: 'EXTEND_TOTAL_REACHED', changes: { durationMinutes: 461 } },
  { code: 'EXTEND_COOLDOWN', changes: { lastExtendedAt: inMinutes(-1) } },
  { code: 'EXTEND_TOO_EARLY', changes: { expiresAt: inMinutes(61) } },
  { code: 'RESERVED_BY_OTHER', changes: { latestEnd: inMinutes(49) } },
  { code: 'ACCOUNT_IN_ARREARS', changes: { user: { state: 'active', inArrears: true } } },
];

describe('an extension', () => {
  test('moves the end and says what is left', () => {
    expect(decideExtend(request(), facts({ extendCount: 1 }), ALLOWED, RULES, NOW)).toEqual({
      kind: 'extend',
      balanceUnchecked: false,
      oldExpiresAt: inMinutes(30),
      newExpiresAt: inMinutes(50),
      additionalMinutes: 20,
      extendCount: 2,
      remainingExtends: 3,
      totalDurationMinutes: 80,
    });
  });

  test.each(BROKEN)('is refused with $code', ({ code, changes = {}, asked }) => {
    expect(codeOf(changes, asked)).toBe(code);
  });

  test('that breaks several rules is refused by the first of them', () => {
    for (let first = 0; first < BROKEN.length; first += 1) {
      const rest = BROKEN.slice(first).toReversed();
      const changes = Object.assign({}, ...rest.map(({ changes: of }) => of)) as Partial<ExtendFacts>;
      const asked = Object.assign({}, ...rest.map(({ asked: of }) => of)) as Partial<ExtendRequest>;
      expect(codeOf(changes, asked)).toBe(BROKEN[first]?.code);
    }
  });

  test('at the very limit is allowed', () => {
    expect(codeOf({ extendCount: 4, durationMinutes: 420 }, { additionalMinutes: 60 })).toBe('extend');
    expect(codeOf({ lastExtendedAt: inMinutes(-2) })).toBe('extend');
    expect(codeOf({ expiresAt: inMinutes(60) })).toBe('extend');
    expect(codeOf({ latestEnd: inMinutes(50) })).toBe('extend');
  });

  test('gives data to act on', () => {
    const detailsOf = (changes: Partial<ExtendFacts>, asked: Partial<ExtendRequest> = {}) => {
      const decision = decideExtend(request(asked), facts(changes), ALLOWED, RULES, NOW);
      return decision.kind === 'refused' ? decision.refusal.details : undefined;
    };
    expect(detailsOf({}, { fence: 6 })).toEqual({ fence: 6, current: 7 });
    expect(detailsOf({ extendCount: 5 })).toEqual({ limit: 'extends', max: 5, current: 5 });
    expect(detailsOf({}, { additionalMinutes: 61 })).toEqual({ field: 'additionalMinutes', max: 60 });
    expect(detailsOf({ durationMinutes: 470 })).toEqual({ limit: 'totalMinutes', max: 480, current: 470, left: 10 });
    expect(detailsOf({ lastExtendedAt: inMinutes(-1) })).toEqual({ availableAt: inMinutes(1).toISOString(), retryAfterSeconds: 60 });
    expect(detailsOf({ expiresAt: inMinutes(70) })).toEqual({ availableAt: inMinutes(10).toISOString() });
    expect(detailsOf({ latestEnd: inMinutes(40) })).toEqual({ latestEnd: inMinutes(40).toISOString() });
  });

  test('of an enterprise allocation has no limit of count and total, and no cooldown', () => {
    const rich = facts({ tier: 'enterprise', extendCount: 1_000, durationMinutes: 1_000_000, lastExtendedAt: NOW });
    expect(decideExtend(request(), rich, ALLOWED, RULES, NOW)).toMatchObject({ kind: 'extend', remainingExtends: -1 });
  });

  test('goes by the policies that are configured', () => {
    const strict = { ...RULES, policies: { ...RENEWAL_POLICIES, standard: { ...RENEWAL_POLICIES.standard, maxCount: 0 } } };
    expect(codeOf({}, {}, strict)).toBe('EXTEND_COUNT_REACHED');
  });

  test('needs a balance; that billing is away is said, or refused where it counts as a no', () => {
    const refused = { kind: 'refused', status: 'insufficient', balance: 0 } as const;
    const away = { kind: 'unavailable', reason: 'down' } as const;
    const decide = (balance: Parameters<typeof decideExtend>[2], rules = RULES) => decideExtend(request(), facts(), balance, rules, NOW);
    expect(decide(refused)).toMatchObject({ refusal: { code: 'INSUFFICIENT_BALANCE' } });
    expect(decide(away)).toMatchObject({ kind: 'extend', balanceUnchecked: true });
    expect(decide(away, { ...RULES, billingAllowOnError: false })).toMatchObject({ refusal: { code: 'BILLING_UNAVAILABLE' } });
    expect(decide(undefined)).toMatchObject({ kind: 'extend', balanceUnchecked: false });
  });

  test('of what nobody knows, or of another tenant, does not exist', () => {
    expect(decideExtend(request(), undefined, ALLOWED, RULES, NOW)).toMatchObject({ refusal: { code: 'ALLOCATION_NOT_FOUND' } });
    expect(codeOf({}, { reach: { kind: 'tenant', tenantId: 'other', userId: 'boss' } })).toBe('ALLOCATION_NOT_FOUND');
    expect(codeOf({}, { reach: { kind: 'tenant', tenantId: 'acme', userId: 'boss' } })).toBe('extend');
    expect(codeOf({}, { reach: { kind: 'all' } })).toBe('extend');
  });
});

describe('the moment from which on', () => {
  test('is the later one of window and cooldown', () => {
    const { standard } = RENEWAL_POLICIES;
    expect(extendableFrom({ expiresAt: inMinutes(90), lastExtendedAt: inMinutes(-1) }, standard)).toEqual(inMinutes(30));
    expect(extendableFrom({ expiresAt: inMinutes(10), lastExtendedAt: inMinutes(-1) }, standard)).toEqual(inMinutes(1));
    expect(extendableFrom({ expiresAt: inMinutes(10), lastExtendedAt: null }, standard)).toEqual(inMinutes(-50));
  });
});

describe('in safe mode', () => {
  const safe: RenewalRules = { ...RULES, reserveFullTerm: true };
  const priced = facts({ costPerHour: 3, committed: 6 });
  const decide = (balance: number, rules = safe) =>
    decideExtend(request({ additionalMinutes: 20 }), priced, { ...ALLOWED, balance }, rules, NOW);

  test('an extension is one that the balance covers beside all terms there are', () => {
    expect(decide(7)).toMatchObject({ kind: 'extend' });
    expect(decide(6.9)).toMatchObject({ refusal: { code: 'INSUFFICIENT_BALANCE', details: { required: 7, balance: 6.9 } } });
  });

  test('and not otherwise', () => {
    expect(decide(0, RULES)).toMatchObject({ kind: 'extend' });
  });
});
