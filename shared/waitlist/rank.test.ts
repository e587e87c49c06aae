import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { TIER_PRIORITY, TIERS } from '../allocation/tier.ts';
import { flowOf, HEAD_START_MS, headStartOf, LARGEST_HEAD_START_MS, type LastPlace, rankNewcomers, SPACING_MS } from './rank.ts';

const now = new Date('2026-01-01T10:00:00Z');
const at = (ms: number) => new Date(now.getTime() + ms);

describe('the place of who begins to wait', () => {
  it('is the time, less the head start of the tier', () => {
    const ranks = rankNewcomers(
      TIERS.map((tier) => ({ flow: `u:${tier}`, tier })),
      [],
      now,
    );
    expect(ranks).toEqual([0, 0, 1, 2, 3].map((level) => at(-level * HEAD_START_MS)));
  });

  it('is a spacing behind the last of the same flow, at its level or above', () => {
    const last: LastPlace[] = [
      { flow: 't:a', tier: 'standard', rank: at(5_000) },
      { flow: 't:a', tier: 'enterprise', rank: at(9_000 - headStartOf('enterprise')) },
      { flow: 't:b', tier: 'standard', rank: at(99_000) },
    ];
    const newcomers = [
      { flow: 't:a', tier: 'free' },
      { flow: 't:a', tier: 'vip' },
      { flow: 't:a', tier: 'standard' },
      { flow: 't:c', tier: 'standard' },
    ] as const;
    const expected = [at(10_000), at(10_000 - headStartOf('vip')), at(11_000), now];
    expect(rankNewcomers(newcomers, last, now)).toEqual(expected);
  });

  it('gives two floods turns, and lets who comes later from elsewhere go before most of a flood', () => {
    const flood = Array.from({ length: 100 }, (_, index) => ({ flow: index % 2 === 0 ? 't:a' : 't:b', tier: 'standard' as const }));
    const ranks = rankNewcomers(flood, [], now);
    expect(ranks.map((rank) => (rank.getTime() - now.getTime()) / SPACING_MS)).toEqual(flood.map((_, index) => Math.floor(index / 2)));
    const [late = now] = rankNewcomers([{ flow: 'u:ann', tier: 'free' }], [], at(3 * SPACING_MS + 1));
    expect(ranks.filter((rank) => rank < late)).toHaveLength(8);
  });

  it('lets nobody pass who comes later than the largest head start, and keeps order inside a flow', () => {
    const newcomer = fc.record({ tenant: fc.constantFrom('a', 'b', 'c'), tier: fc.constantFrom(...TIERS), gapMs: fc.nat(400_000) });
    fc.assert(
      fc.property(fc.array(newcomer, { maxLength: 60 }), (coming) => {
        let clock = now;
        const placed: (LastPlace & { clock: Date })[] = [];
        for (const { tenant, tier, gapMs } of coming) {
          clock = new Date(clock.getTime() + gapMs);
          const flow = flowOf({ tenantId: tenant, userId: 'ann' });
          const last = placed.filter((place, index) => placed.findLastIndex((other) => sameLine(other, place)) === index);
          const [rank = clock] = rankNewcomers([{ flow, tier }], last, clock);
          placed.push({ flow, tier, rank, clock });
        }
        for (const [index, earlier] of placed.entries()) {
          for (const later of placed.slice(index + 1)) {
            // A newcomer of another flow with no backlog of its own is the worst case for who waits.
            if (later.clock.getTime() - earlier.rank.getTime() > LARGEST_HEAD_START_MS) expect(later.rank > earlier.rank).toBe(true);
            const sameFlow = earlier.flow === later.flow;
            if (sameFlow && TIER_PRIORITY[earlier.tier] >= TIER_PRIORITY[later.tier]) expect(later.rank > earlier.rank).toBe(true);
          }
        }
      }),
    );
  });
});

const sameLine = (a: LastPlace, b: LastPlace) => a.flow === b.flow && a.tier === b.tier;
