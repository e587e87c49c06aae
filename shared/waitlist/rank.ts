import { TIER_PRIORITY, TIERS, type Tier } from '../allocation/tier.ts';

/**
 * The order in which waiting requests are served, as arithmetic: a place on a line of time, given once.
 *
 *   base = max(now, last base of the flow at this level or above + SPACING)    start-time fair queueing, time for virtual time
 *   rank = base − HEAD_START · level                                           lower goes first, the id breaks ties
 *
 * A flow is a tenant, or a user without one; levels are those of `TIER_PRIORITY`. What follows:
 *
 * - Ageing without touching a row: of two requests the lower tier goes first once it has waited longer by the head start
 *   between them. Nobody who comes later than the largest head start (15 min) goes before anybody.
 * - A flood takes places a SPACING apart in the future, so who comes later from elsewhere goes before most of it; two
 *   floods are served in turn.
 * - Inside a tenant a higher tier goes first, oldest first within a tier; and as lower ones queue behind the bases of
 *   higher ones, that holds for a flood as well.
 */
export const HEAD_START_MS = 5 * 60_000;

/** Time between the places of one flow, ms. */
export const SPACING_MS = 1_000;

/** The largest head start there is: the bound of the ageing, ms. */
export const LARGEST_HEAD_START_MS = Math.max(...TIERS.map(headStartOf));

/** How far ahead of time a tier begins, ms. */
export function headStartOf(tier: Tier): number {
  return TIER_PRIORITY[tier] * HEAD_START_MS;
}

/** Whose turn a request takes: its tenant's, or its user's. */
export function flowOf({ tenantId, userId }: { readonly tenantId: string | null; readonly userId: string }): string {
  return tenantId === null ? `u:${userId}` : `t:${tenantId}`;
}

/** Somebody who begins to wait. */
export interface Newcomer {
  readonly flow: string;
  readonly tier: Tier;
}

/** The last place of a flow at a tier, before anybody of this group. */
export interface LastPlace extends Newcomer {
  readonly rank: Date;
}

/** Gives each newcomer its place, in the order given. */
export function rankNewcomers(newcomers: readonly Newcomer[], last: readonly LastPlace[], now: Date): Date[] {
  const bases = new Map(last.map(({ flow, tier, rank }) => [placeKey(flow, tier), rank.getTime() + headStartOf(tier)]));
  return newcomers.map(({ flow, tier }) => {
    const before = TIERS.filter((other) => TIER_PRIORITY[other] >= TIER_PRIORITY[tier]).map(
      (other) => (bases.get(placeKey(flow, other)) ?? -Infinity) + SPACING_MS,
    );
    const base = Math.max(now.getTime(), ...before);
    bases.set(placeKey(flow, tier), base);
    return new Date(base - headStartOf(tier));
  });
}

const placeKey = (flow: string, tier: Tier) => `${tier} ${flow}`;
