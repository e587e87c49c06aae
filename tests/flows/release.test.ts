import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Queue } from 'bullmq';
import { SchedulerClient } from '../../queues/client.ts';
import { QUEUES } from '../../queues/names.ts';
import type { GrantedAllocation } from '../../shared/allocation/outcome.ts';
import { releaseGroup } from '../../shared/store/release-group.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { redisUrl } from '../support/redis.ts';
import { forgetJob, runAgain } from '../support/run-again.ts';
import { type AllocateOptions, type Wired, wire } from '../support/wire.ts';

let wired: Wired;
beforeAll(async () => {
  wired = await wire();
});
afterAll(() => wired.close());
beforeEach(async () => {
  await wired.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox CASCADE`);
});

async function granted(userId: string, options?: AllocateOptions): Promise<GrantedAllocation> {
  const outcome = await wired.allocate(userId, options);
  if (outcome.status !== 'granted') throw new Error(`${userId} got ${outcome.status}`);
  return outcome.allocation;
}

describe('a release', () => {
  it('frees the device and writes ledger, events and usage report in the same breath', async () => {
    const [deviceId] = await addDevices(wired.store, alike(1));
    const { allocationId } = await granted('ann', { tenantId: 'acme' });
    const outcome = await wired.release({ allocationId, userId: 'ann' });
    expect(outcome).toEqual({ status: 'released', allocationId, deviceId, durationSeconds: expect.any(Number), endReason: 'released' });
    expect(await wired.store.prisma.device.findUnique({ where: { id: deviceId ?? '' } })).toMatchObject({ allocationId: null, fence: 1n });
    expect(await wired.store.prisma.ledgerEntry.findUnique({ where: { allocationId } })).toMatchObject({
      status: 'owed',
      userId: 'ann',
      tenantId: 'acme',
      endReason: 'released',
      cpuCores: 4,
    });
    const rows = await wired.store.prisma.outboxEntry.findMany({ where: { key: allocationId }, orderBy: { id: 'asc' } });
    expect(rows.map(({ topic }) => topic)).toEqual([
      'device.allocated',
      'increment',
      'device.released',
      'scheduler.allocation.released',
      'decrement',
    ]);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  it('asked again, by device or by allocation, at once or later, gives the same answer and one bill', async () => {
    await addDevices(wired.store, alike(1));
    const { allocationId, deviceId } = await granted('ann');
    const both = await Promise.all([wired.release({ allocationId }), wired.release({ deviceId, userId: 'ann' })]);
    expect(both[0]).toEqual(both[1]);
    expect(await wired.release({ deviceId, userId: 'ann', fence: 1 })).toEqual(both[0]);
    expect(await wired.store.prisma.ledgerEntry.count()).toBe(1);
  });

  it('with the fence of an older lease changes nothing', async () => {
    await addDevices(wired.store, alike(1));
    const first = await granted('ann');
    await wired.release({ allocationId: first.allocationId });
    const second = await granted('ann');
    expect(second.fence).toBe(2);
    expect(await wired.release({ deviceId: first.deviceId, userId: 'ann', fence: first.fence })).toEqual({
      status: 'refused',
      code: 'STALE_FENCE',
      details: { fence: 1, current: 2 },
    });
    expect(await wired.store.prisma.allocation.count({ where: { status: 'allocated' } })).toBe(1);
  });

  it('named twice in one group counts once', async () => {
    await addDevices(wired.store, alike(1));
    const { allocationId } = await granted('ann');
    const release = { allocationId, deviceId: undefined, userId: null, tenantId: null, fence: undefined, endReason: 'released' as const };
    const results = await releaseGroup(wired.store, [release, release], { cleaningSeconds: 0 });
    expect(results.map((result) => result.status === 'released' && result.endedHere)).toEqual([true, false]);
  });

  it('of a device by a service, run or asked again after the device went to who waited, ends nobody else', async () => {
    const client = new SchedulerClient({ redis: { url: redisUrl() }, service: 'orders', prefix: wired.prefix });
    try {
      await addDevices(wired.store, alike(1));
      const { allocationId, deviceId, fence } = await granted('ann');
      const [waiter, releaseId] = [randomUUID(), randomUUID()];
      await wired.allocate('bob', { requestId: waiter, queueIfBusy: true });
      const first = await client.release({ deviceId, fence, releaseId });
      expect(first).toMatchObject({ status: 'released', allocationId, deviceId });
      await wired.untilDecided(waiter);

      expect(await runAgain(wired.prefix, QUEUES.release, releaseId)).toEqual(first);
      await forgetJob(wired.prefix, QUEUES.release, releaseId);
      expect(await client.release({ deviceId, fence, releaseId })).toEqual(first);
      expect(await client.release({ deviceId, releaseId })).toEqual(first);
      expect(await client.release({ deviceId, userId: 'ann' })).toEqual(first);
      expect(await wired.store.prisma.allocation.findMany({ where: { status: 'allocated' } })).toMatchObject([{ userId: 'bob' }]);

      const next = await client.release({ deviceId });
      expect(next).toMatchObject({ status: 'released', allocationId: expect.not.stringContaining(allocationId) });
      expect(await readInvariants(wired.store)).toEqual([]);
    } finally {
      await client.close();
    }
  });

  it('under an id whose job has failed for good is asked for anew', async () => {
    const client = new SchedulerClient({ redis: { url: redisUrl() }, service: 'orders', prefix: wired.prefix });
    const queue = new Queue(QUEUES.release, { connection: wired.redis, prefix: wired.prefix, skipVersionCheck: true });
    try {
      await addDevices(wired.store, alike(1));
      const { allocationId } = await granted('ann');
      const releaseId = randomUUID();
      await queue.add('release', { not: 'a release' }, { jobId: releaseId, attempts: 1 });
      await eventually(async () => expect(await queue.getJobState(releaseId)).toBe('failed'));
      const first = await client.release({ allocationId, releaseId });
      expect(first).toMatchObject({ status: 'released', allocationId });
      expect(await client.release({ allocationId, releaseId })).toEqual(first);
      expect((await queue.getJob(releaseId))?.attemptsMade).toBe(1);
    } finally {
      await queue.close();
      await client.close();
    }
  });

  it('finds nothing that belongs to somebody else', async () => {
    await addDevices(wired.store, alike(1));
    const { allocationId, deviceId } = await granted('ann', { tenantId: 'acme' });
    const notFound = { status: 'refused', code: 'ALLOCATION_NOT_FOUND' };
    expect(await wired.release({ allocationId, userId: 'eve' })).toEqual(notFound);
    expect(await wired.release({ deviceId, userId: 'eve' })).toEqual(notFound);
    expect(await wired.release({ allocationId, tenantId: 'other' })).toEqual(notFound);
    expect(await wired.release({ allocationId: randomUUID() })).toEqual(notFound);
    expect((await wired.release({ allocationId, tenantId: 'acme' })).status).toBe('released');
  });

  it('gives the device to the waiting request of the higher tier', async () => {
    await addDevices(wired.store, alike(1));
    const { allocationId } = await granted('ann');
    const [low, high] = [randomUUID(), randomUUID()];
    await wired.allocate('low', { requestId: low, queueIfBusy: true });
    await wired.allocate('high', { requestId: high, queueIfBusy: true, tier: 'enterprise' });
    await wired.release({ allocationId });
    await wired.untilDecided(high);
    expect(
      await wired.store.prisma.request.findMany({
        where: { id: { in: [low, high] } },
        select: { userId: true, status: true },
        orderBy: { userId: 'asc' },
      }),
    ).toEqual([
      { userId: 'high', status: 'granted' },
      { userId: 'low', status: 'waiting' },
    ]);
  });

  it('sends the device to cleaning first where that is configured', async () => {
    const cleaning = await wire({ cleaningSeconds: 60 });
    try {
      await addDevices(cleaning.store, alike(1));
      const outcome = await cleaning.allocate('ann');
      if (outcome.status === 'granted') await cleaning.release({ allocationId: outcome.allocation.allocationId });
      expect(await cleaning.allocate('bob')).toMatchObject({ code: 'NO_DEVICE_AVAILABLE' });
    } finally {
      await cleaning.close();
    }
  });
});

describe('a hundred allocations', () => {
  it('released by several at once, each twice, are each ended and billed once', async () => {
    await addDevices(wired.store, alike(100));
    const held = await Promise.all(Array.from({ length: 100 }, (_, index) => granted(`user-${index % 25}`)));
    const outcomes = await Promise.all([...held, ...held].map(({ allocationId }) => wired.release({ allocationId })));
    expect(outcomes.every(({ status }) => status === 'released')).toBe(true);
    await eventually(async () => expect(await wired.store.prisma.ledgerEntry.count()).toBe(100));
    expect(await readInvariants(wired.store)).toEqual([]);
  });
});
