/** The tiers of users, lowest first. */
export const TIERS = ['free', 'standard', 'vip', 'premium', 'enterprise'] as const;

export type Tier = (typeof TIERS)[number];

/** The tier of whoever states none. */
export const DEFAULT_TIER: Tier = 'standard';

/** Queue priority of a tier: higher is served earlier, by a bounded head start and never strictly (`queues/fair-order.ts`). */
export const TIER_PRIORITY: Readonly<Record<Tier, 0 | 1 | 2 | 3>> = {
  free: 0,
  standard: 0,
  vip: 1,
  premium: 2,
  enterprise: 3,
};

/** Names the platform also uses. */
const ALIASES: Readonly<Record<string, Tier>> = {
  basic: 'standard',
  pro: 'premium',
};

/** Every word that names a tier, aliases included. */
export const TIER_WORDS = [...TIERS, 'basic', 'pro'] as const;

/**
 * Resolves a word to a tier (`basic` is `standard`, `pro` is `premium`).
 *
 * @returns undefined for a word that names no tier
 */
export function tierOf(word: string): Tier | undefined {
  return TIERS.find((tier) => tier === word) ?? (Object.hasOwn(ALIASES, word) ? ALIASES[word] : undefined);
}
