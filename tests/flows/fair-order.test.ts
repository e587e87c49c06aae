import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Asker, advanceFairOrder, placeInFairOrder } from '../../queues/fair-order.ts';
import { createFairModel, ERA_WIDTH, HEAD, MAX_TAG, type Place, PRUNE_AT, REBASE_AT } from '../../queues/fair-order-model.ts';
import { TIER_PRIORITY, TIERS } from '../../shared/allocation/tier.ts';
import { closeRedis, type RedisClient } from '../../shared/run/redis.ts';
import { openRedis } from '../support/open-redis.ts';
import { createTestPrefix, type TestPrefix } from '../support/redis.ts';

const UNLIMITED = Number.MAX_SAFE_INTEGER;
const SCORE = 2 ** 32;

let redis: RedisClient;
let corner: TestPrefix;
let jobs: string;

beforeEach(async () => {
  redis = await openRedis('producer');
  corner = createTestPrefix();
  jobs = `${corner.prefix}:allocate`;
});

afterEach(async () => {
  closeRedis(redis);
  await corner.clean();
});

const asker = (userId: string, tier: Asker['tier'] = 'standard', tenantId: string | null = null): Asker => ({ userId, tier, tenantId });

async function place(...askers: Asker[]): Promise<readonly Place[]> {
  const placing = await placeInFairOrder(redis, corner.prefix, askers, UNLIMITED);
  if (placing.kind !== 'placed') throw new Error('overloaded');
  return placing.places;
}

/** Puts jobs where BullMQ keeps them, as `add` would. */
async function wait(...entries: { id: string; tag: number }[]): Promise<void> {
  for (const [index, { id, tag }] of entries.entries()) {
    await redis.zadd(`${jobs}:prioritized`, tag * SCORE + index, id);
    await redis.hset(`${jobs}:${id}`, { priority: String(tag) });
  }
}

const line = () => redis.zrange(`${jobs}:prioritized`, '0', '-1');
const state = () => redis.hgetall(`${corner.prefix}:fair`);

describe('the script of the fair order', () => {
  test('is the arithmetic of the model', async () => {
    const askers = fc.array(
      fc.record({ tenantId: fc.constantFrom('a', 'b', null), userId: fc.constantFrom('x', 'y'), tier: fc.constantFrom(...TIERS) }),
      {
        minLength: 1,
        maxLength: 20,
      },
    );
    const steps = fc.array(fc.record({ askers, taken: fc.nat(5) }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(steps, async (history) => {
        await redis.unlink(`${corner.prefix}:fair`, `${corner.prefix}:fair:flows`);
        const model = createFairModel();
        for (const { askers: some, taken } of history) {
          const expected = model.place(
            some.map(({ tenantId, userId, tier }) => ({ flow: tenantId ?? `user ${userId}`, level: TIER_PRIORITY[tier] })),
          );
          const places = await place(...some);
          expect(places.map(({ tag, fairStart }) => ({ tag, fairStart: fairStart % ERA_WIDTH }))).toEqual(expected);
          const latest = Math.max(...places.map(({ fairStart }) => fairStart));
          await advanceFairOrder(redis, corner.prefix, latest, taken);
          model.advance(latest, taken);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('places nobody when too many would wait', async () => {
    await wait({ id: 'one', tag: 1 }, { id: 'two', tag: 2 });
    await redis.lpush(`${jobs}:wait`, 'three');
    expect(await placeInFairOrder(redis, corner.prefix, [asker('a'), asker('b')], 4)).toEqual({ kind: 'overloaded', waiting: 3 });
    expect(await placeInFairOrder(redis, corner.prefix, [asker('a')], 4)).toMatchObject({ kind: 'placed' });
    expect(await placeInFairOrder(redis, corner.prefix, [], 3)).toEqual({ kind: 'placed', places: [] });
  });

  test('moves tags back to the start of their range while few wait, order and jobs included', async () => {
    const [first] = await place(asker('a'));
    await wait({ id: 'early', tag: REBASE_AT + 50 }, { id: 'late', tag: REBASE_AT + 900 });
    await redis.hset(`${corner.prefix}:fair`, { v: String(REBASE_AT + 100), top: String(REBASE_AT + 1_000) });
    const [second] = await place(asker('b'));
    expect(await line()).toEqual(['early', 'late']);
    expect(await redis.zrange(`${jobs}:prioritized`, '0', '-1', 'WITHSCORES')).toEqual([
      'early',
      String(SCORE),
      'late',
      String(851 * SCORE + 1),
    ]);
    expect(await redis.hget(`${jobs}:late`, 'priority')).toBe('851');
    expect(second?.tag).toBe(51 + 3 * HEAD + 1);
    expect(second?.fairStart).not.toBe(first?.fairStart);
    expect(Math.floor((second?.fairStart ?? 0) / ERA_WIDTH)).not.toBe(Math.floor((first?.fairStart ?? 0) / ERA_WIDTH));
  });

  test('moves tags back when they would pass the largest priority, however many wait', async () => {
    const ids = Array.from({ length: 2_500 }, (_, index) => ({ id: `job-${String(index).padStart(4, '0')}`, tag: 1_500_000 + index }));
    await wait(...ids);
    await redis.hset(`${corner.prefix}:fair`, { v: String(MAX_TAG - 100), top: String(MAX_TAG - 10) });
    const [placed] = await place(asker('a'));
    expect(await line()).toEqual(ids.map(({ id }) => id));
    expect(await redis.hget(`${jobs}:job-0000`, 'priority')).toBe('1');
    expect(placed?.tag).toBe(MAX_TAG - 100 - 1_499_999 + 3 * HEAD + 1);
  });

  test('stays within the largest priority even when nothing can be moved back', async () => {
    await wait({ id: 'old', tag: 1 });
    await redis.hset(`${corner.prefix}:fair`, { v: String(MAX_TAG - 1), top: String(MAX_TAG - 1) });
    expect(await place(asker('a'))).toMatchObject([{ tag: MAX_TAG }]);
  });

  test('puts a job that was placed before tags were moved back where a newcomer would be', async () => {
    await place(asker('a'));
    await wait({ id: 'known', tag: 3 * HEAD + 1 }, { id: 'stray', tag: 900_000 });
    await place(asker('b'));
    expect(await redis.zscore(`${jobs}:prioritized`, 'stray')).toBe(String((3 * HEAD + 1) * SCORE + 1));
    expect(await redis.hget(`${jobs}:stray`, 'priority')).toBe(String(3 * HEAD + 1));
  });

  test('believes no report about an order that is gone', async () => {
    const [before] = await place(asker('a'));
    await redis.unlink(`${corner.prefix}:fair`, `${corner.prefix}:fair:flows`);
    await advanceFairOrder(redis, corner.prefix, before?.fairStart ?? 0, 1);
    expect(await state()).toEqual({});
    await place(asker('a'));
    await advanceFairOrder(redis, corner.prefix, (before?.fairStart ?? 0) + 500_000 + ERA_WIDTH, 64);
    expect(Number((await state())['v'])).toBe(1);
  });

  test('forgets tenants whose turn does not matter any more', async () => {
    await place(asker('waiting'), asker('waiting'));
    const stale = Array.from({ length: 200 }, (_, index) => [`u:stale-${index}`, '[0,0,0,0]']).flat();
    await redis.hset(`${corner.prefix}:fair:flows`, ...stale);
    await redis.hset(`${corner.prefix}:fair`, { prune: '100' });
    await place(asker('new'));
    expect((await redis.hkeys(`${corner.prefix}:fair:flows`)).toSorted()).toEqual(['u:new', 'u:waiting']);
    expect((await state())['prune']).toBe(String(PRUNE_AT));
  });
});
