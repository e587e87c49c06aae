import { z } from 'zod';
import { TIERS, type Tier } from '../allocation/tier.ts';

/** How far allocations of one tier may be extended. `Infinity` is no limit. */
export interface RenewalPolicy {
  /** Extensions of one allocation. */
  readonly maxCount: number;
  /** Minutes one extension may add. */
  readonly maxMinutesEach: number;
  /** Minutes from the start of the allocation to its end, extensions included. */
  readonly maxTotalMinutes: number;
  /** Seconds between two extensions. */
  readonly cooldownSeconds: number;
  /** Minutes before its end from which on an allocation may be extended. */
  readonly windowMinutes: number;
}

export type RenewalPolicies = Readonly<Record<Tier, RenewalPolicy>>;

const PAID: RenewalPolicy = { maxCount: 10, maxMinutesEach: 120, maxTotalMinutes: 1_440, cooldownSeconds: 60, windowMinutes: 120 };

/** The platform's policies, in force where the configuration says nothing else. */
export const RENEWAL_POLICIES: RenewalPolicies = {
  free: { maxCount: 2, maxMinutesEach: 30, maxTotalMinutes: 120, cooldownSeconds: 300, windowMinutes: 30 },
  standard: { maxCount: 5, maxMinutesEach: 60, maxTotalMinutes: 480, cooldownSeconds: 120, windowMinutes: 60 },
  vip: PAID,
  premium: PAID,
  enterprise: { maxCount: Infinity, maxMinutesEach: 240, maxTotalMinutes: Infinity, cooldownSeconds: 0, windowMinutes: 240 },
};

const MAX = 1_000_000;
const natural = z.int().min(0).max(MAX);
const limit = natural.nullable().transform((value) => value ?? Infinity);

const policyChanges = z.strictObject({
  maxCount: limit.optional(),
  maxMinutesEach: z.int().min(1).max(1_440).optional(),
  maxTotalMinutes: limit.optional(),
  cooldownSeconds: natural.optional(),
  windowMinutes: natural.optional(),
});

const changes = z.partialRecord(z.enum(TIERS), policyChanges);

/**
 * The policies with what a configuration changes, as JSON: `{"free":{"maxCount":3}}`. Only what differs is said; `null`
 * is no limit. An empty text changes nothing.
 *
 * @returns the policies, or what is wrong with the text, one sentence each
 */
export function renewalPolicies(text: string): { readonly policies: RenewalPolicies } | { readonly problems: readonly string[] } {
  const parsed = changes.safeParse(text === '' ? {} : parseJson(text));
  if (!parsed.success)
    return { problems: parsed.error.issues.map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(': ')) };
  const merged = TIERS.map((tier) => [tier, { ...RENEWAL_POLICIES[tier], ...said(parsed.data[tier] ?? {}) }] as const);
  return { policies: Object.fromEntries(merged) as Record<Tier, RenewalPolicy> };
}

function said(policy: z.output<typeof policyChanges>): Partial<RenewalPolicy> {
  return Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: no schema takes this, so it is refused as what it is.
    return undefined;
  }
}
