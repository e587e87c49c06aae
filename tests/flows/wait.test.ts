import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { AskedAllocationInput } from '../../shared/allocation/asked.ts';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import type { AllocationRequest } from '../../shared/allocation/facts.ts';
import { TIERS, type Tier } from '../../shared/allocation/tier.ts';
import { insertWaiting } from '../../shared/store/begin-waiting.ts';
import { leaveQueue } from '../../shared/store/join-queue.ts';
import { headStartOf } from '../../shared/waitlist/rank.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { type Wired, wire } from '../support/wire.ts';

const SEED = Number(process.env['TEST_SEED'] ?? 20_261_124);

let wired: Wired;
beforeAll(async () => {
  wired = await wire({ waitlistWorkers: 3 });
});
afterAll(() => wired.close());
beforeEach(async () => {
  await wired.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox CASCADE`);
});

interface Who {
  readonly userId: string;
  readonly tier?: Tier;
  readonly tenantId?: string;
  readonly asked?: AskedAllocationInput;
}

/** Puts somebody into the queue without a word to the waitlist. @returns the request's id */
async function wait({ userId, tier = 'standard', tenantId, asked = {} }: Who): Promise<string> {
  const request: AllocationRequest = {
    requestId: randomUUID(),
    caller: 'test',
    source: 'http',
    userId,
    tenantId: tenantId ?? null,
    tier,
    asked: askedAllocation.parse(asked),
    traceId: undefined,
  };
  await wired.store.transaction((tx) => insertWaiting(tx, request));
  return request.requestId;
}

const hold = async (userId: string, deviceId: string) => {
  const outcome = await wired.allocate(userId, { devicePreferences: { deviceId } });
  if (outcome.status !== 'granted') throw new Error(`${userId} got ${outcome.status}`);
  return outcome.allocation;
};

const requestOf = (id: string) => wired.store.prisma.request.findUniqueOrThrow({ where: { id } });
const grantsInOrder = async () =>
  (
    await wired.store.prisma.allocation.findMany({
      where: { userId: { not: { startsWith: 'holder' } } },
      orderBy: [{ allocatedAt: 'asc' }],
    })
  ).map(({ userId, deviceId }) => ({ userId, deviceId }));

/** Repeatable chance: mulberry32. */
function createChance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('a thousand waiting with mixed needs', () => {
  it(`have devices that are freed one by one in the order the policy names (seed ${SEED})`, async () => {
    const chance = createChance(SEED);
    const oneOf = <T>(values: readonly [T, ...T[]]): T => values[Math.floor(chance() * values.length)] ?? values[0];
    const sizes = [2, 4, 8] as const;
    const fleet = await addDevices(
      wired.store,
      Array.from({ length: 30 }, () => ({ type: oneOf(['phone', 'tablet'] as const), cpuCores: oneOf(sizes) })),
    );
    const devices = await wired.store.prisma.device.findMany();
    for (const [index, id] of fleet.entries()) await hold(`holder-${index}`, id);

    // Written at once, with places all over the last hour: what order they are in is what is tested.
    const waiting = Array.from({ length: 1_000 }, (_, index) => {
      const tier = oneOf(TIERS as unknown as [Tier, ...Tier[]]);
      const rankAt = new Date(Date.now() - Math.floor(chance() * 3_600_000) - headStartOf(tier));
      const needs = [oneOf([0, 1, 2] as const), oneOf([0, 3, 6] as const), 0, 0, 2_147_483_647, 2_147_483_647, 2_147_483_647];
      return { id: randomUUID(), userId: `user-${index}`, tier, rankAt, needs };
    });
    await wired.store.prisma.request.createMany({
      data: waiting.map(({ id, userId, tier, rankAt, needs }) => ({
        id,
        caller: 'test',
        source: 'http',
        userId,
        tier,
        status: 'waiting',
        asked: {
          ...askedAllocation.parse({}),
          ...(needs[0] === 0 ? {} : { devicePreferences: { deviceType: needs[0] === 1 ? 'phone' : 'tablet' } }),
          preferredSpecs: { minCpu: needs[1] },
        },
        deadline: new Date(Date.now() + 3_600_000),
        waitingSince: new Date(),
        flow: `u:${userId}`,
        rankAt,
        needs,
      })),
    });

    const left = new Set(waiting);
    for (let freed = 0; freed < 120; freed += 1) {
      const deviceId = fleet[Math.floor(chance() * fleet.length)] ?? '';
      const device = devices.find(({ id }) => id === deviceId);
      if (device === undefined) throw new Error('a device is missing');
      // The policy, said as plainly as can be: of those it suits, the first by rank.
      const expected = [...left]
        .filter(({ needs }) => (needs[0] === 0 || needs[0] === (device.type === 'phone' ? 1 : 2)) && device.cpuCores >= (needs[1] ?? 0))
        .sort((a, b) => a.rankAt.getTime() - b.rankAt.getTime() || (a.id < b.id ? -1 : 1))[0];
      await wired.release({ deviceId });
      if (expected === undefined) continue;
      await wired.untilDecided(expected.id);
      left.delete(expected);
      const holder = await wired.store.prisma.allocation.findFirstOrThrow({ where: { deviceId, status: 'allocated' } });
      expect({ freed, userId: holder.userId }).toEqual({ freed, userId: expected.userId });
    }
    expect(await readInvariants(wired.store)).toEqual([]);
  }, 120_000);

  it('are all served once by several workers when many devices come free at once', async () => {
    const fleet = await addDevices(wired.store, [...alike(20), ...alike(20, { type: 'tablet' })]);
    for (const [index, id] of fleet.entries()) await hold(`holder-${index}`, id);
    const ids: string[] = [];
    for (let index = 0; index < 60; index += 1) {
      ids.push(await wait({ userId: `user-${index}`, asked: { devicePreferences: { deviceType: index % 2 === 0 ? 'phone' : 'tablet' } } }));
    }
    await Promise.all(fleet.map((deviceId) => wired.release({ deviceId })));
    await eventually(async () => expect(await wired.store.prisma.request.count({ where: { status: 'waiting' } })).toBe(20));
    const rows = await wired.store.prisma.request.findMany({ where: { id: { in: ids } }, orderBy: { rankAt: 'asc' } });
    expect(rows.map(({ status }) => status)).toEqual(ids.map((_, index) => (index < 40 ? 'granted' : 'waiting')));
    expect(await readInvariants(wired.store)).toEqual([]);
  }, 60_000);
});

describe('a freed device', () => {
  it('never waits behind those it does not suit', async () => {
    const [tablet = '', phone = ''] = await addDevices(wired.store, [{ type: 'tablet' }, { type: 'phone' }]);
    await hold('holder-1', tablet);
    await hold('holder-2', phone);
    for (let index = 0; index < 50; index += 1)
      await wait({ userId: `phone-${index}`, tier: 'enterprise', asked: { devicePreferences: { deviceType: 'phone' } } });
    const last = await wait({ userId: 'tablet', tier: 'free', asked: { devicePreferences: { deviceType: 'tablet' } } });
    await wired.release({ deviceId: tablet });
    await wired.untilDecided(last);
    expect(await grantsInOrder()).toEqual([{ userId: 'tablet', deviceId: tablet }]);
  });

  it('is for those who have waited, not for who asks in that moment', async () => {
    const [phone = ''] = await addDevices(wired.store, alike(1));
    const first = await wait({ userId: 'first' });
    // Nobody has told the waitlist: the device is free, and asked for by somebody else.
    expect(await wired.allocate('late')).toMatchObject({ status: 'refused', code: 'NO_DEVICE_AVAILABLE', details: { reason: 'PRIORITY' } });
    const later = randomUUID();
    expect(await wired.allocate('later', { requestId: later, queueIfBusy: true })).toMatchObject({ status: 'waiting', reason: 'PRIORITY' });
    await wired.untilDecided(first);
    expect(await grantsInOrder()).toEqual([{ userId: 'first', deviceId: phone }]);
    expect((await requestOf(later)).status).toBe('waiting');
  });

  it('is free for others while nobody waits whom it suits', async () => {
    await addDevices(wired.store, alike(3));
    await wait({ userId: 'ann', asked: { devicePreferences: { deviceType: 'tablet' } } });
    expect((await wired.allocate('bob')).status).toBe('granted');
    await wait({ userId: 'cyd' });
    // Two are left, one of them for cyd.
    expect((await wired.allocate('dan')).status).toBe('granted');
    expect(await wired.allocate('eve')).toMatchObject({ code: 'NO_DEVICE_AVAILABLE' });
  });

  it('serves the lowest tier once it has waited longer than the head start of the others', async () => {
    const [phone = ''] = await addDevices(wired.store, alike(1));
    await hold('holder', phone);
    const free = await wait({ userId: 'free', tier: 'free' });
    const top = await wait({ userId: 'top', tier: 'enterprise' });
    const aged = headStartOf('enterprise') + 1_000;
    await wired.store.prisma
      .$executeRaw`UPDATE requests SET rank_at = rank_at - make_interval(secs => ${aged / 1_000}) WHERE id = ${free}::uuid`;
    await wired.release({ deviceId: phone });
    await wired.untilDecided(free);
    expect((await requestOf(top)).status).toBe('waiting');
  });

  it('goes to others between the requests of a tenant that floods the queue', async () => {
    const phones = await addDevices(wired.store, alike(4));
    for (const [index, id] of phones.entries()) await hold(`holder-${index}`, id);
    for (let index = 0; index < 30; index += 1) await wait({ userId: `flood-${index}`, tenantId: 'flood' });
    for (const userId of ['ann', 'bob']) await wait({ userId });
    for (const deviceId of phones) {
      const before = (await grantsInOrder()).length;
      await wired.release({ deviceId });
      await eventually(async () => expect((await grantsInOrder()).length).toBe(before + 1));
    }
    expect((await grantsInOrder()).map(({ userId }) => userId)).toEqual(expect.arrayContaining(['ann', 'bob']));
  });

  it('is not for who has waited longer than they wanted to', async () => {
    const [phone = ''] = await addDevices(wired.store, alike(1));
    await hold('holder', phone);
    const late = await wait({ userId: 'late' });
    const next = await wait({ userId: 'next' });
    await wired.store.prisma.request.update({ where: { id: late }, data: { deadline: new Date(Date.now() - 1_000) } });
    await wired.release({ deviceId: phone });
    await wired.untilDecided(next);
    expect(await requestOf(late)).toMatchObject({ status: 'timed_out', allocationId: null });
    expect((await requestOf(next)).status).toBe('granted');
    expect(await wired.store.prisma.outboxEntry.count({ where: { key: late, topic: 'scheduler.queue.expired' } })).toBe(1);
  });
});

describe('of a cancellation and a grant at the same time', () => {
  it('the database picks one, forty times', async () => {
    const [phone = ''] = await addDevices(wired.store, alike(1));
    const outcomes: string[] = [];
    for (let round = 0; round < 40; round += 1) {
      await hold(`holder-${round}`, phone);
      const id = await wait({ userId: `user-${round}` });
      const [, left] = await Promise.all([wired.release({ deviceId: phone }), leaveQueue(wired.store, id, { kind: 'all' })]);
      await wired.untilDecided(id);
      const { status } = await requestOf(id);
      expect(status).toBe(left ? 'cancelled' : 'granted');
      outcomes.push(status);
      if (status === 'granted') await wired.release({ deviceId: phone });
      await eventually(async () =>
        expect((await wired.store.prisma.device.findUniqueOrThrow({ where: { id: phone } })).allocationId).toBeNull(),
      );
    }
    expect(await readInvariants(wired.store)).toEqual([]);
  }, 60_000);
});

describe('a row that cannot be decided', () => {
  it('lets the others go on, is seen, and is refused in the end', async () => {
    const [phone = ''] = await addDevices(wired.store, alike(1));
    const poisoned = await wait({ userId: 'poison' });
    const fine = await wait({ userId: 'fine' });
    await wired.store.prisma.$executeRaw`UPDATE requests SET asked = '{"durationMinutes": "for ever"}' WHERE id = ${poisoned}::uuid`;
    const wake = async () => {
      await wired.store.prisma
        .$executeRaw`UPDATE requests SET parked = NULL, parked_at = NULL WHERE id = ${poisoned}::uuid AND status = 'waiting'`;
      await wired.capacity.changed({ devices: [phone] });
    };
    await wake();
    await wired.untilDecided(fine);
    expect((await requestOf(fine)).status).toBe('granted');
    expect(await requestOf(poisoned)).toMatchObject({ status: 'waiting', parked: 'FAULT', retryCount: 1 });
    await wired.release({ deviceId: phone });
    await eventually(async () => {
      await wake();
      expect(await requestOf(poisoned)).toMatchObject({ status: 'refused', code: 'INTERNAL' });
    });
  });
});

describe('the order', () => {
  it('is the same after every worker was restarted', async () => {
    const own = await wire({ waitlistWorkers: 0 });
    try {
      const phones = await addDevices(own.store, alike(3));
      for (const [index, deviceId] of phones.entries()) await own.allocate(`holder-${index}`, { devicePreferences: { deviceId } });
      const ids: string[] = [];
      for (const userId of ['a', 'b', 'c', 'd']) {
        const requestId = randomUUID();
        expect((await own.allocate(userId, { requestId, queueIfBusy: true })).status).toBe('waiting');
        ids.push(requestId);
      }
      await own.release({ deviceId: phones[0] ?? '' });
      const first = own.addWaitlistWorker();
      await own.untilDecided(ids[0] ?? '');
      await first.close();
      await own.release({ deviceId: phones[1] ?? '' });
      own.addWaitlistWorker();
      await own.untilDecided(ids[1] ?? '');
      const rows = await own.store.prisma.request.findMany({ where: { id: { in: ids } }, orderBy: { rankAt: 'asc' } });
      expect(rows.map(({ userId, status }) => `${userId} ${status}`)).toEqual(['a granted', 'b granted', 'c waiting', 'd waiting']);
    } finally {
      await own.close();
    }
  }, 60_000);
});

describe('a request of the client', () => {
  it('that was served while its last job was still saying "waiting" is found served', async () => {
    const [phone = ''] = await addDevices(wired.store, alike(1));
    await hold('holder', phone);
    const requestId = randomUUID();
    // The release is under way while the job that lets it wait is: whichever sees the other wakes the waitlist.
    const [outcome] = await Promise.all([wired.allocate('ann', { requestId, queueIfBusy: true }), wired.release({ deviceId: phone })]);
    expect(['waiting', 'granted']).toContain(outcome.status);
    await wired.untilDecided(requestId);
    expect((await requestOf(requestId)).status).toBe('granted');
    if (outcome.status === 'waiting') {
      const kept = await eventually(async () => {
        const text = await wired.redis.get(`${wired.prefix}:outcome:${requestId}`);
        if (text === null) throw new Error('no outcome is kept');
        return text;
      });
      expect(JSON.parse(kept)).toMatchObject({ status: 'granted', requestId });
    }
  });
});
