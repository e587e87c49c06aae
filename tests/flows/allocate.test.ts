import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { GatheredRequest } from '../../shared/allocation/facts.ts';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { grantGroup } from '../../shared/store/grant-group.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { metricValue } from '../support/neighbours.ts';
import { newRequest } from '../support/requests.ts';
import { type Wired, wire } from '../support/wire.ts';

let wired: Wired;
beforeAll(async () => {
  wired = await wire({ allocationWorkers: 4 });
});
afterAll(() => wired.close());
beforeEach(async () => {
  await wired.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox CASCADE`);
});

const codeOf = (outcome: AllocateOutcome) => ('code' in outcome ? outcome.code : outcome.status);
const tally = (outcomes: readonly AllocateOutcome[]) =>
  Object.fromEntries([...Map.groupBy(outcomes, codeOf)].map(([code, group]) => [code, group.length]));
const gathered = (userId: string): GatheredRequest => ({
  request: { ...newRequest({ userId }), traceId: undefined },
  quota: { kind: 'known', stale: false, quota: { status: 'active', limits: {}, usage: null, validFrom: null, validUntil: null } },
  balance: { kind: 'allowed', status: 'active', balance: 1 },
});
const deviceOf = (outcome: AllocateOutcome) => (outcome.status === 'granted' ? outcome.allocation.deviceId : codeOf(outcome));

describe('a device', () => {
  it('goes to one of two hundred who ask at once, the others get a typed answer', async () => {
    await addDevices(wired.store, alike(1));
    await wired.know(Array.from({ length: 200 }, (_, index) => `user-${index}`));
    const outcomes = await Promise.all(Array.from({ length: 200 }, (_, index) => wired.allocate(`user-${index}`)));
    expect(tally(outcomes)).toEqual({ granted: 1, NO_DEVICE_AVAILABLE: 199 });
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  it('is never given twice while three times as many ask as there are devices, the same account among them', async () => {
    await addDevices(wired.store, alike(60));
    const outcomes = await Promise.all(
      Array.from({ length: 180 }, (_, index) => wired.allocate(index % 3 === 0 ? 'the-same' : `user-${index}`)),
    );
    expect(tally(outcomes)).toEqual({ granted: 60, NO_DEVICE_AVAILABLE: 120 });
    expect(new Set(outcomes.filter(({ status }) => status === 'granted').map(deviceOf)).size).toBe(60);
    expect(await readInvariants(wired.store)).toEqual([]);
  });
});

describe('devices another worker is deciding on', () => {
  it('let as many requests ask again; the rest of the group is told that none is left', async () => {
    const { store, allocation } = wired;
    await addDevices(store, alike(2));
    const group = Array.from({ length: 10 }, (_, index) => gathered(`user-${index}`));
    const outcomes = await store.transaction(async (other) => {
      await other.$queryRaw`SELECT id FROM devices FOR UPDATE`;
      return grantGroup(store, group, { ...allocation.outagePolicy, strategy: RESOURCE_BASED });
    });
    expect(outcomes.map((outcome) => ('code' in outcome ? outcome.code : outcome.status))).toEqual([
      'contended',
      'contended',
      ...Array.from({ length: 8 }, () => 'NO_DEVICE_AVAILABLE'),
    ]);
  });
});

describe('a user', () => {
  it('with one free place gets one device of fifty asked for at once', async () => {
    await addDevices(wired.store, alike(50));
    wired.users.control.setQuota('single', { limits: { maxDevices: 1 } });
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => wired.allocate('single')));
    expect(tally(outcomes)).toEqual({ granted: 1, QUOTA_EXCEEDED: 49 });
    expect(outcomes.find(({ status }) => status === 'refused')).toMatchObject({ details: { limit: 'maxDevices', max: 1, current: 1 } });
  });

  it('is refused what a device larger than the quota would take, and told which limit', async () => {
    await addDevices(wired.store, [{ cpuCores: 8 }, { cpuCores: 2 }]);
    wired.users.control.setQuota('small', { limits: { maxCpuCoresPerDevice: 4 } });
    const [first, second] = [await wired.allocate('small'), await wired.allocate('small')];
    expect(codeOf(first)).toBe('granted');
    expect(codeOf(second)).toBe('NO_DEVICE_AVAILABLE');
    wired.users.control.setQuota('tiny', { limits: { maxCpuCoresPerDevice: 1 } });
    expect(await wired.allocate('tiny')).toMatchObject({ code: 'QUOTA_EXCEEDED', details: { limit: 'maxCpuCoresPerDevice', max: 1 } });
  });

  it('who is suspended, deleted or in arrears is refused', async () => {
    await addDevices(wired.store, alike(1));
    await wired.store.prisma.user.createMany({
      data: [
        { id: 'suspended', state: 'suspended' },
        { id: 'deleted', state: 'deleted' },
        { id: 'debtor', arrearsSince: new Date() },
      ],
    });
    const outcomes = await Promise.all(['suspended', 'deleted', 'debtor'].map((userId) => wired.allocate(userId)));
    expect(outcomes.map(codeOf)).toEqual(['USER_SUSPENDED', 'USER_DELETED', 'ACCOUNT_IN_ARREARS']);
  });
});

describe('a request', () => {
  it('leaves a complete trail: row, allocation, event, usage report, fence', async () => {
    const [deviceId] = await addDevices(wired.store, alike(1));
    const requestId = randomUUID();
    const outcome = await wired.allocate('ann', { requestId, tenantId: 'acme', tier: 'premium', durationMinutes: 5 });
    if (outcome.status !== 'granted') throw new Error(codeOf(outcome));
    const { allocation } = outcome;
    expect(allocation).toMatchObject({
      deviceId,
      userId: 'ann',
      tenantId: 'acme',
      durationMinutes: 5,
      fence: 1,
      strategy: 'resource_based',
    });
    expect(Date.parse(allocation.expiresAt) - Date.parse(allocation.allocatedAt)).toBe(300_000);
    expect(JSON.stringify(outcome)).not.toMatch(/adb|10\.0\.0\.1/);
    expect(await wired.store.prisma.request.findUnique({ where: { id: requestId } })).toMatchObject({
      status: 'granted',
      allocationId: allocation.allocationId,
      tier: 'premium',
      source: 'client',
    });
    const outbox = await wired.store.prisma.outboxEntry.findMany({ orderBy: { id: 'asc' } });
    expect(outbox.map(({ channel, topic, key }) => [channel, topic, key])).toEqual([
      ['event', 'device.allocated', allocation.allocationId],
      ['usage', 'increment', allocation.allocationId],
    ]);
    expect(outbox[1]?.payload).toEqual({ userId: 'ann', deviceId, cpuCores: 4, memoryGB: 8, storageGB: 64, operation: 'increment' });
  });

  it('asked twice at once, and again later, is granted once and answered the same', async () => {
    await addDevices(wired.store, alike(5));
    const requestId = randomUUID();
    const both = await Promise.all([wired.allocate('ann', { requestId }), wired.allocate('ann', { requestId })]);
    expect(deviceOf(both[0])).toBe(deviceOf(both[1]));
    await wired.producer.allocateAgain([
      {
        requestId,
        caller: 'test',
        source: 'client',
        userId: 'ann',
        tenantId: null,
        tier: 'standard',
        asked: { durationMinutes: 60, queueIfBusy: false, maxWaitMinutes: 30, autoExtend: false },
        traceId: undefined,
        createdAt: new Date(),
      },
    ]);
    expect(await wired.store.prisma.allocation.count()).toBe(1);
  });

  it('for what no device of the fleet could ever be is told so', async () => {
    await addDevices(wired.store, [{ tenantId: 'other' }, { status: 'stopped', type: 'tablet' }]);
    expect(codeOf(await wired.allocate('ann', { preferredSpecs: { minCpu: 64 } }))).toBe('NO_MATCHING_DEVICE');
    expect(codeOf(await wired.allocate('ann', { tenantId: 'mine', devicePreferences: { deviceType: 'phone' } }))).toBe(
      'NO_MATCHING_DEVICE',
    );
    expect(codeOf(await wired.allocate('ann', { devicePreferences: { deviceType: 'tablet' } }))).toBe('NO_DEVICE_AVAILABLE');
    expect(codeOf(await wired.allocate('ann', { devicePreferences: { deviceId: randomUUID() } }))).toBe('NO_MATCHING_DEVICE');
    expect(codeOf(await wired.allocate('ann', { tenantId: 'other' }))).toBe('granted');
  });

  it('that may wait does so, and gets the device that is released', async () => {
    await addDevices(wired.store, alike(1));
    const first = await wired.allocate('ann');
    const requestId = randomUUID();
    expect(await wired.allocate('bob', { requestId, queueIfBusy: true })).toEqual({ status: 'waiting', requestId, reason: 'POOL_BUSY' });
    if (first.status === 'granted') await wired.release({ allocationId: first.allocation.allocationId });
    await wired.untilDecided(requestId);
    expect(await wired.store.prisma.request.findUnique({ where: { id: requestId } })).toMatchObject({ status: 'granted', userId: 'bob' });
  });

  it('never gets a device that is draining, cleaning, reserved or not running', async () => {
    const ids = await addDevices(wired.store, alike(4));
    await wired.store.prisma.device.update({ where: { id: ids[0] ?? '' }, data: { draining: true } });
    await wired.store.prisma.device.update({ where: { id: ids[1] ?? '' }, data: { cleaningUntil: new Date(Date.now() + 60_000) } });
    await wired.store.prisma.device.update({ where: { id: ids[2] ?? '' }, data: { status: 'maintenance' } });
    const soon = new Date(Date.now() + 30 * 60_000);
    const end = new Date(soon.getTime() + 60 * 60_000);
    await wired.store.prisma.reservation.create({
      data: {
        id: randomUUID(),
        userId: 'eve',
        userTier: 'standard',
        deviceId: ids[3] ?? '',
        status: 'confirmed',
        startsAt: soon,
        endsAt: end,
        blockedUntil: end,
      },
    });
    expect(codeOf(await wired.allocate('ann', { durationMinutes: 60 }))).toBe('NO_DEVICE_AVAILABLE');
    expect(deviceOf(await wired.allocate('ann', { durationMinutes: 20 }))).toBe(ids[3]);
  });
});

describe('locks in front of the database', () => {
  it('save work only: without them nothing is given twice either', async () => {
    const unlocked = await wire({ allocationWorkers: 3, allocation: { locks: false } });
    try {
      await addDevices(unlocked.store, alike(10));
      unlocked.users.control.setQuota('greedy', { limits: { maxDevices: 4 } });
      const outcomes = await Promise.all(
        Array.from({ length: 60 }, (_, index) => unlocked.allocate(index % 2 === 0 ? 'greedy' : `user-${index}`)),
      );
      expect(tally(outcomes)['granted']).toBe(10);
      expect(
        outcomes.filter((outcome) => outcome.status === 'granted' && outcome.allocation.userId === 'greedy').length,
      ).toBeLessThanOrEqual(4);
      expect(await readInvariants(unlocked.store)).toEqual([]);
    } finally {
      await unlocked.close();
    }
  });

  it('put off a request whose user another worker is deciding on', async () => {
    await addDevices(wired.store, alike(20));
    await Promise.all(Array.from({ length: 40 }, () => wired.allocate('hot')));
    expect(await metricValue(wired.metrics, 'scheduler_lock_deferrals_total', {})).toBeGreaterThan(0);
  });
});
