import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { GrantedAllocation } from '../../shared/allocation/outcome.ts';
import { createLogger } from '../../shared/logger.ts';
import type { RenewalRules } from '../../shared/renewal/decide-extend.ts';
import { RENEWAL_POLICIES } from '../../shared/renewal/policy.ts';
import { type AutoExtended, autoExtend } from '../../workers/maintenance/auto-extend.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { type AllocateOptions, RENEWAL, type Wired, wire } from '../support/wire.ts';

const MINUTE_S = 60;
let wired: Wired;
beforeAll(async () => {
  wired = await wire();
});
afterAll(() => wired.close());
beforeEach(async () => {
  await wired.store.transaction(
    (tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, reservations CASCADE`,
  );
});

/** An allocation of 30 minutes that is to be extended by itself. */
async function granted(userId: string, options: AllocateOptions = {}): Promise<GrantedAllocation> {
  const outcome = await wired.allocate(userId, { durationMinutes: 30, autoExtend: true, ...options });
  if (outcome.status !== 'granted') throw new Error(`${userId} got ${outcome.status}`);
  return outcome.allocation;
}

/** Policies of the standard tier without pauses, so that a test need not wait. */
const RULES: RenewalRules = {
  ...RENEWAL,
  policies: {
    ...RENEWAL_POLICIES,
    standard: { ...RENEWAL_POLICIES.standard, maxTotalMinutes: 120, cooldownSeconds: 0, windowMinutes: 600 },
  },
};

/** One sweep over everything that ends within so many minutes. */
async function sweep(leadMinutes = 35, rules = RULES): Promise<AutoExtended> {
  const { store, metrics, balance } = wired;
  const logger = createLogger('test', 'silent');
  const parts = { store, metrics, balance, rules, leadSeconds: leadMinutes * MINUTE_S, logger, announce: () => Promise.resolve() };
  return autoExtend(parts, new AbortController().signal);
}

const DONE = { extended: 0, left: 0, failed: 0 };
const rowOf = (id: string) => wired.store.prisma.allocation.findUniqueOrThrow({ where: { id } });
const plus = (instant: string, minutes: number) => new Date(Date.parse(instant) + minutes * 60_000);

describe('an allocation asked for with autoExtend', () => {
  test('is extended up to the total of its tier, and the holder is told each time', async () => {
    await addDevices(wired.store, alike(1));
    const { allocationId, expiresAt } = await granted('ann');
    expect(await sweep(10)).toEqual(DONE);
    expect(await sweep(35)).toEqual({ ...DONE, extended: 1 });
    expect(await rowOf(allocationId)).toMatchObject({ expiresAt: plus(expiresAt, 60), durationMinutes: 90, extendCount: 1 });
    expect(await sweep(95)).toEqual({ ...DONE, extended: 1 });
    expect(await rowOf(allocationId)).toMatchObject({ expiresAt: plus(expiresAt, 90), durationMinutes: 120, extendCount: 2 });
    expect(await sweep(125)).toEqual({ ...DONE, left: 1 });

    const told = await wired.store.prisma.outboxEntry.findMany({ where: { topic: { contains: 'extended' } }, orderBy: { id: 'asc' } });
    expect(told.map(({ channel, topic }) => [channel, topic])).toEqual([
      ['event', 'scheduler.allocation.extended'],
      ['notice', 'allocation_extended'],
      ['event', 'scheduler.allocation.extended'],
      ['notice', 'allocation_extended'],
    ]);
    expect(told.map(({ payload }) => payload)).toMatchObject([
      { automatic: true, additionalMinutes: 60, extendCount: 1 },
      { userId: 'ann', data: { automatic: true, additionalMinutes: 60, allocationId } },
      { automatic: true, additionalMinutes: 30, extendCount: 2 },
      { userId: 'ann', data: { automatic: true, additionalMinutes: 30, allocationId } },
    ]);
    expect(await wired.store.prisma.extension.findMany()).toMatchObject([{ extendedBy: 'scheduler' }, { extendedBy: 'scheduler' }]);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  test('is left alone where nobody asked for it', async () => {
    await addDevices(wired.store, alike(1));
    await granted('ann', { autoExtend: false });
    expect(await sweep()).toEqual(DONE);
  });

  test('is not extended while somebody waits for such a device, and is once they have gone', async () => {
    await addDevices(wired.store, alike(1));
    await granted('ann');
    const requestId = randomUUID();
    expect((await wired.allocate('bob', { requestId, queueIfBusy: true })).status).toBe('waiting');
    expect(await sweep()).toEqual({ ...DONE, left: 1 });
    await wired.store.prisma.request.update({
      where: { id: requestId },
      data: { status: 'cancelled', code: 'REQUEST_CANCELLED', decidedAt: new Date() },
    });
    expect(await sweep()).toEqual({ ...DONE, extended: 1 });
  });

  test('is extended while somebody waits for another kind of device', async () => {
    await addDevices(wired.store, [...alike(1), { type: 'tablet' }]);
    await granted('ann', { devicePreferences: { deviceType: 'phone' } });
    await granted('eve', { devicePreferences: { deviceType: 'tablet' }, autoExtend: false });
    expect((await wired.allocate('bob', { queueIfBusy: true, devicePreferences: { deviceType: 'tablet' } })).status).toBe('waiting');
    expect(await sweep()).toEqual({ ...DONE, extended: 1 });
  });

  test('of several, one is left to one who waits, not all', async () => {
    await addDevices(wired.store, alike(3));
    for (const userId of ['ann', 'bea', 'cyd']) await granted(userId);
    expect((await wired.allocate('bob', { queueIfBusy: true })).status).toBe('waiting');
    expect(await sweep()).toEqual({ ...DONE, extended: 2, left: 1 });
  });

  test('is extended up to a reservation of its device, and no further', async () => {
    await addDevices(wired.store, alike(1));
    const { allocationId, deviceId, expiresAt } = await granted('ann');
    const [startsAt, endsAt] = [plus(expiresAt, 10.5), plus(expiresAt, 60)];
    await wired.store.prisma.reservation.create({
      data: { id: randomUUID(), userId: 'bob', userTier: 'free', status: 'confirmed', deviceId, startsAt, endsAt, blockedUntil: endsAt },
    });
    expect(await sweep()).toEqual({ ...DONE, extended: 1 });
    expect(await rowOf(allocationId)).toMatchObject({ expiresAt: plus(expiresAt, 10) });
    expect(await sweep(50)).toEqual({ ...DONE, left: 1 });
  });

  test('is extended up to the gap a reservation was booked with, though the gap is another one by now', async () => {
    await addDevices(wired.store, alike(2));
    const [ann, bea] = [await granted('ann'), await granted('bea')];
    const [startsAt, endsAt] = [plus(ann.expiresAt, 20), plus(ann.expiresAt, 60)];
    await wired.store.prisma.reservation.create({
      data: {
        id: randomUUID(),
        userId: 'bob',
        userTier: 'free',
        status: 'confirmed',
        deviceId: ann.deviceId,
        startsAt,
        endsAt,
        blockedUntil: plus(endsAt.toISOString(), 10),
      },
    });
    expect(await sweep()).toEqual({ ...DONE, extended: 2 });
    expect(await rowOf(ann.allocationId)).toMatchObject({ expiresAt: plus(ann.expiresAt, 10) });
    expect(await rowOf(bea.allocationId)).toMatchObject({ expiresAt: plus(bea.expiresAt, 60) });
  });

  test('is not extended without balance', async () => {
    await addDevices(wired.store, alike(2));
    await granted('rich');
    const { allocationId } = await granted('poor');
    wired.billing.control.setBalance('poor', { balance: 0, status: 'frozen' });
    await wired.balance.forget('poor');
    expect(await sweep()).toEqual({ ...DONE, extended: 1, left: 1 });
    expect(await rowOf(allocationId)).toMatchObject({ extendCount: 0 });
  });

  test('is extended once by sweeps at the same time', async () => {
    await addDevices(wired.store, alike(50));
    const users = Array.from({ length: 50 }, (_, index) => `user-${index % 10}`);
    await wired.know(users.slice(0, 10));
    await Promise.all(users.map((userId) => granted(userId)));
    const sweeps = await Promise.all([sweep(), sweep(), sweep()]);
    const extended = sweeps.reduce((sum, one) => sum + one.extended, 0) + (await sweep()).extended;
    expect(extended).toBe(50);
    expect(await wired.store.prisma.extension.count()).toBe(50);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  test('that cannot be extended for a fault of its row stops nobody else', async () => {
    await addDevices(wired.store, alike(5));
    const held = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((userId) => granted(userId)));
    const poisoned = held[2]?.allocationId ?? '';
    await wired.store.prisma.$executeRawUnsafe(`
      CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN IF NEW.id = '${poisoned}' THEN RAISE EXCEPTION 'poisoned'; END IF; RETURN NEW; END $$`);
    await wired.store.prisma.$executeRaw`CREATE TRIGGER poisoned BEFORE UPDATE ON allocations FOR EACH ROW EXECUTE FUNCTION poison()`;
    try {
      expect(await sweep()).toEqual({ extended: 4, left: 0, failed: 1 });
    } finally {
      await wired.store.prisma.$executeRaw`DROP TRIGGER poisoned ON allocations`;
      await wired.store.prisma.$executeRaw`DROP FUNCTION poison()`;
    }
    expect(await sweep()).toEqual({ ...DONE, extended: 1 });
  });

  test('that the database keeps from a reservation stops nobody else', async () => {
    await addDevices(wired.store, alike(3));
    const [ann, bea] = [await granted('ann'), await granted('bea')];
    const [startsAt, endsAt] = [plus(ann.expiresAt, 10), plus(ann.expiresAt, 60)];
    // Begun ahead of its time, as no code does: only the database looks at it.
    await wired.store.prisma.reservation.create({
      data: {
        id: randomUUID(),
        userId: 'bob',
        userTier: 'free',
        status: 'executing',
        deviceId: ann.deviceId,
        allocationId: bea.allocationId,
        startsAt,
        endsAt,
        blockedUntil: endsAt,
      },
    });
    expect(await sweep()).toEqual({ extended: 1, left: 0, failed: 1 });
    expect(await rowOf(bea.allocationId)).toMatchObject({ extendCount: 1 });
  });
});
