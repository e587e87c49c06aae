import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { QUEUES } from '../../queues/names.ts';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench, quotaOf } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { finishedJobs, runAgain } from '../support/run-again.ts';

let bench: ApiBench;
let api: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await bench.startWorkers(new Map([['poor', quotaOf(0)]]));
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, ledger, outbox, users CASCADE`);
});

const allocate = async (userId: string, body: Record<string, unknown> = {}) =>
  api.call('POST', '/scheduler/devices/allocate', { as: await asUser(userId), body: { userId, waitMs: 30_000, ...body } });

describe('POST /scheduler/devices/allocate', () => {
  test('gives a device, and the way to it to its holder only', async () => {
    const [deviceId] = await bench.addDevices(1);

    const { status, body, headers } = await allocate('ann', { durationMinutes: 30 });

    expect(status).toBe(201);
    expect(body.data).toMatchObject({
      deviceId,
      device: { id: deviceId, name: 'device 0', status: 'running' },
      userId: 'ann',
      tenantId: null,
      durationMinutes: 30,
      fence: 1,
      adbHost: '10.9.8.7',
      adbPort: 5555,
    });
    expect(Math.abs(Date.parse(body.data.expiresAt) - Date.parse(body.data.allocatedAt) - 30 * 60_000)).toBeLessThanOrEqual(1);
    expect(headers.get('x-request-id')).toBe(body.requestId);

    const path = `/scheduler/allocations/${body.data.allocationId}`;
    expect((await api.call('GET', path, { as: await asUser('ann') })).body.data).toMatchObject({ adbHost: '10.9.8.7', adbPort: 5555 });
    const seenByAdmin = await api.call('GET', path, { as: await asUser('root', { isSuperAdmin: true }) });
    expect(seenByAdmin.status).toBe(200);
    expect(seenByAdmin.text).not.toContain('10.9.8.7');
  });

  test('is followed by the ids of caller and trace into its row, its events and reports, and so is its release', async () => {
    await bench.addDevices(1);
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const as = await asUser('ann');
    const headers = { 'x-request-id': 'order-17', traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    const { body } = await api.call('POST', '/scheduler/devices/allocate', { as, headers, body: { userId: 'ann', waitMs: 30_000 } });
    const traces = async () => [...new Set((await bench.store.prisma.outboxEntry.findMany()).map((row) => row.traceId))];
    expect(await traces()).toEqual([`${traceId} order-17`]);
    expect(await bench.store.prisma.request.findFirst()).toMatchObject({ traceId: `${traceId} order-17` });

    await bench.store.transaction((tx) => tx.$executeRaw`TRUNCATE outbox`);
    const release = { allocationId: body.data.allocationId };
    await api.call('POST', '/scheduler/devices/release', { as, headers: { ...headers, 'x-request-id': 'order-18' }, body: release });
    expect(await traces()).toEqual([`${traceId} order-18`]);
  });

  test('answers 202 with a place to look when it may not wait', async () => {
    await bench.addDevices(1);

    const { status, body, headers } = await allocate('ann', { waitMs: 0 });

    expect(status).toBe(202);
    expect(body.data).toMatchObject({ status: 'pending' });
    const location = headers.get('location') ?? '';
    expect(location).toBe(`/scheduler/requests/${body.data.requestId}`);
    await eventually(async () => {
      const state = await api.call('GET', location, { as: await asUser('ann') });
      expect(state.body.data).toMatchObject({ status: 'granted', allocationId: expect.any(String) });
    });
  });

  test('refuses with the code, the status and the numbers of the refusal', async () => {
    await bench.addDevices(1);

    const { status, body } = await allocate('poor');

    expect(status).toBe(403);
    expect(body).toMatchObject({
      success: false,
      statusCode: 403,
      code: 'QUOTA_EXCEEDED',
      details: { limit: 'maxDevices', max: 0, current: 0 },
    });
    expect(body.path).toBe('/scheduler/devices/allocate');
    const state = await api.call('GET', `/scheduler/requests/${body.details.requestId}`, { as: await asUser('poor') });
    expect(state.body.data).toMatchObject({ status: 'refused', code: 'QUOTA_EXCEEDED' });
  });

  test('tells a busy fleet from one that could never do it', async () => {
    await bench.addDevices(1);
    await allocate('ann');

    expect((await allocate('bob')).body).toMatchObject({ statusCode: 409, code: 'NO_DEVICE_AVAILABLE' });
    expect((await allocate('bob', { preferredSpecs: { minCpu: 64 } })).body).toMatchObject({ statusCode: 409, code: 'NO_MATCHING_DEVICE' });
  });

  test('lets a request wait for a device, says its place, and lets it be cancelled once', async () => {
    await bench.addDevices(1);
    await allocate('ann');

    const first = await allocate('bob', { queueIfBusy: true });
    const second = await allocate('cyd', { queueIfBusy: true });

    expect(first.status).toBe(202);
    expect(first.body.data).toMatchObject({ status: 'waiting', reason: 'POOL_BUSY' });
    const path = `/scheduler/requests/${second.body.data.requestId}`;
    expect((await api.call('GET', path, { as: await asUser('cyd') })).body.data).toMatchObject({ status: 'waiting', position: 2 });
    expect((await api.call('DELETE', path, { as: await asUser('cyd') })).body.data).toMatchObject({ status: 'cancelled' });
    expect((await api.call('DELETE', path, { as: await asUser('cyd') })).body).toMatchObject({ statusCode: 409, code: 'REQUEST_DECIDED' });
  });

  test('takes the tier from a user’s token, from a service’s word, and from nobody else', async () => {
    await bench.addDevices(4);
    const tierOf = async (requestId: string) => (await bench.store.prisma.request.findUniqueOrThrow({ where: { id: requestId } })).tier;
    const ask = async (as: Record<string, string>, body: Record<string, unknown>) =>
      tierOf((await api.call('POST', '/scheduler/devices/allocate', { as, body: { waitMs: 0, ...body } })).body.data.requestId);

    expect(await ask(await asUser('ann', { tier: 'pro' }), { userId: 'ann' })).toBe('premium');
    expect(await ask(await asUser('ann'), { userId: 'ann' })).toBe('standard');
    expect(await ask(await asService(), { userId: 'ann', userTier: 'enterprise' })).toBe('enterprise');
    expect(await ask(await asUser('root', { isSuperAdmin: true, tier: 'vip' }), { userId: 'ann' })).toBe('standard');
    const cheeky = await api.call('POST', '/scheduler/devices/allocate', {
      as: await asUser('ann'),
      body: { userId: 'ann', userTier: 'vip' },
    });
    expect(cheeky.body).toMatchObject({ statusCode: 403, code: 'FORBIDDEN', details: { field: 'userTier' } });
  });

  test('refuses more work when too much waits already', async () => {
    const full = await bench.start({ maxWaitingJobs: 0 });

    const { status, body, headers } = await full.call('POST', '/scheduler/devices/allocate', {
      as: await asUser('zoe'),
      body: { userId: 'zoe' },
    });

    expect(status).toBe(503);
    expect(body.code).toBe('OVERLOADED');
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await bench.store.prisma.request.count({ where: { userId: 'zoe' } })).toBe(0);
    await full.close();
  });
});

describe('POST /scheduler/devices/release', () => {
  const release = async (userId: string, body: Record<string, unknown>, claims = {}) =>
    api.call('POST', '/scheduler/devices/release', { as: await asUser(userId, claims), body });

  test('gives the device back; asking again gives the same answer', async () => {
    await bench.addDevices(1);
    const { allocationId, deviceId } = (await allocate('ann')).body.data;

    const first = await release('ann', { deviceId });
    const second = await release('ann', { allocationId });

    expect(first.status).toBe(200);
    expect(first.body.data).toMatchObject({ allocationId, deviceId, endReason: 'released' });
    expect(second.body.data).toEqual(first.body.data);
  });

  const releaseAs = (as: Record<string, string>, body: Record<string, unknown>) =>
    api.call('POST', '/scheduler/devices/release', { as, body });

  const above = async (): Promise<[string, Record<string, string>][]> => [
    ['a service', await asService()],
    ['a super admin', await asUser('root', { isSuperAdmin: true })],
    ['an admin', await asUser('boss', { roles: ['admin'], tenantId: 'acme' })],
  ];

  test('asked again by device, whoever asks, gives the same answer', async () => {
    await bench.addDevices(1);
    for (const [who, as] of await above()) {
      const held = await api.call('POST', '/scheduler/devices/allocate', {
        as: await asUser('ann', { tenantId: 'acme' }),
        body: { userId: 'ann' },
      });
      const { allocationId, deviceId, fence } = held.body.data;

      const first = await releaseAs(as, { deviceId });
      expect({ who, ...first.body.data }).toMatchObject({ who, allocationId, deviceId });
      for (const body of [{ deviceId }, { deviceId, fence }, { allocationId }]) {
        expect({ who, ...(await releaseAs(as, body)).body }).toMatchObject({ who, success: true, data: first.body.data });
      }
    }
    const stranger = await asUser('eve', { roles: ['admin'], tenantId: 'other' });
    const { deviceId } = await bench.store.prisma.allocation.findFirstOrThrow();
    expect((await releaseAs(stranger, { deviceId })).body).toMatchObject({ statusCode: 404, code: 'ALLOCATION_NOT_FOUND' });
  });

  test('run again after the device went to who waited, ends nobody else', async () => {
    await bench.addDevices(1);
    const { allocationId, deviceId, fence } = (await allocate('ann')).body.data;
    const { requestId } = (await allocate('bob', { queueIfBusy: true })).body.data;
    const before = await finishedJobs(bench.prefix, QUEUES.release);
    const first = await releaseAs(await asService(), { deviceId });
    expect(first.body.data).toMatchObject({ allocationId });
    await eventually(async () =>
      expect(await bench.store.prisma.request.findUnique({ where: { id: requestId } })).toMatchObject({ status: 'granted' }),
    );

    const [jobId = ''] = await eventually(async () => {
      const fresh = (await finishedJobs(bench.prefix, QUEUES.release)).filter((id) => !before.includes(id));
      expect(fresh).toHaveLength(1);
      return fresh;
    });
    expect(await runAgain(bench.prefix, QUEUES.release, jobId)).toMatchObject({ status: 'released', allocationId });
    expect((await releaseAs(await asService(), { deviceId, fence })).body).toMatchObject({ statusCode: 409, code: 'STALE_FENCE' });
    expect(await bench.store.prisma.allocation.findMany({ where: { status: 'allocated' } })).toMatchObject([{ userId: 'bob' }]);
  });

  test('of a device and its holder, sent again, ends nobody else', async () => {
    const boss = await asUser('boss', { roles: ['admin'], tenantId: 'acme' });
    await bench.addDevices(1);
    const held = async (userId: string) =>
      (await api.call('POST', '/scheduler/devices/allocate', { as: boss, body: { userId } })).body.data;
    const { deviceId, allocationId } = await held('ann');
    for (const as of [await asService(), boss]) {
      const first = await releaseAs(as, { deviceId, userId: 'ann' });
      expect(first.body.data).toMatchObject({ allocationId });
      const next = (await held('bob')).allocationId;
      expect((await releaseAs(as, { deviceId, userId: 'ann' })).body.data).toEqual(first.body.data);
      expect((await releaseAs(as, { allocationId: next, userId: 'ann' })).body).toMatchObject({
        statusCode: 404,
        code: 'ALLOCATION_NOT_FOUND',
      });
      expect(await bench.store.prisma.allocation.findMany({ where: { status: 'allocated' } })).toMatchObject([{ userId: 'bob' }]);
      expect((await releaseAs(as, { deviceId, userId: 'bob' })).body.data).toMatchObject({ allocationId: next });
    }
    expect((await releaseAs(boss, { deviceId, userId: 'nobody' })).body).toMatchObject({ statusCode: 404 });
    expect((await release('ann', { deviceId, userId: 'bob' })).body).toMatchObject({ statusCode: 403, details: { field: 'userId' } });
  });

  test('says of an old fence that it is old, to everybody, also once the device is free', async () => {
    await bench.addDevices(1);
    const held = async () =>
      (await api.call('POST', '/scheduler/devices/allocate', { as: await asUser('ann', { tenantId: 'acme' }), body: { userId: 'ann' } }))
        .body.data;
    const { deviceId, fence } = await held();
    await release('ann', { deviceId });
    await held();
    for (const state of ['held', 'free']) {
      for (const [who, as] of [...(await above()), ['its user', await asUser('ann')] as const]) {
        const { body } = await releaseAs(as, { deviceId, fence });
        expect({ who, state, ...body }).toMatchObject({ who, state, statusCode: 409, code: 'STALE_FENCE', details: { fence, current: 2 } });
      }
      await release('ann', { deviceId });
    }
  });

  test('does not know the allocation of somebody else, and says who ended it when an admin did', async () => {
    await bench.addDevices(1);
    const { allocationId } = (await allocate('ann')).body.data;

    expect((await release('bob', { allocationId })).body).toMatchObject({ statusCode: 404, code: 'ALLOCATION_NOT_FOUND' });
    expect((await release('eve', { allocationId }, { roles: ['admin'], tenantId: 'other' })).body.code).toBe('ALLOCATION_NOT_FOUND');
    const ended = await release('root', { allocationId }, { isSuperAdmin: true });
    expect(ended.body.data).toMatchObject({ allocationId, endReason: 'admin_released' });
  });

  test('refuses an old fence and an unknown allocation', async () => {
    await bench.addDevices(1);
    const { deviceId, fence } = (await allocate('ann')).body.data;
    await release('ann', { deviceId });
    await allocate('ann');

    expect((await release('ann', { deviceId, fence })).body).toMatchObject({ statusCode: 409, code: 'STALE_FENCE' });
    expect((await release('ann', { allocationId: randomUUID() })).body).toMatchObject({ statusCode: 404 });
    expect((await release('ann', {})).body).toMatchObject({ statusCode: 400, details: { field: 'allocationId' } });
    expect((await release('ann', { deviceId, allocationId: randomUUID() })).body).toMatchObject({
      statusCode: 400,
      code: 'VALIDATION_FAILED',
      details: { field: 'deviceId' },
    });
  });
});

describe('GET /scheduler/allocations', () => {
  test('lists newest first, page by page, each once', async () => {
    await bench.addDevices(5);
    const ids: string[] = [];
    for (let index = 0; index < 5; index += 1) ids.unshift((await allocate('ann')).body.data.allocationId);

    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const from: string = cursor === null ? '' : `&cursor=${cursor}`;
      const { body } = await api.call('GET', `/scheduler/allocations?limit=2${from}`, { as: await asUser('ann') });
      expect(body.data.total).toBe(5);
      seen.push(...body.data.items.map((item: { allocationId: string }) => item.allocationId));
      cursor = body.data.nextCursor;
    } while (cursor !== null);
    expect(seen).toEqual(ids);
  });

  test('filters, and shows what has been billed', async () => {
    const [deviceId] = await bench.addDevices(1);
    const { allocationId } = (await allocate('ann')).body.data;
    await api.call('POST', '/scheduler/devices/release', { as: await asUser('ann'), body: { allocationId } });
    const list = async (query: string) =>
      (await api.call('GET', `/scheduler/allocations?${query}`, { as: await asService() })).body.data.items;

    expect(await list(`userId=ann&status=released&deviceId=${deviceId}&from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z`)).toHaveLength(1);
    expect(await list('userId=bob')).toEqual([]);
    expect(await list('status=allocated')).toEqual([]);
    expect(await list('from=2100-01-01T00:00:00Z')).toEqual([]);
    const { data } = (await api.call('GET', `/scheduler/allocations/${allocationId}`, { as: await asUser('ann') })).body;
    expect(data).toMatchObject({ status: 'released', endReason: 'released', billedSeconds: data.durationSeconds });
    expect(data.ledger).toEqual([expect.objectContaining({ status: 'owed', durationSeconds: data.billedSeconds, settledAt: null })]);
    expect(data.adbHost).toBeUndefined();
  });

  test('refuses a cursor it did not make', async () => {
    for (const cursor of ['x', Buffer.from('["1"]').toString('base64url'), Buffer.from('["a","b"]').toString('base64url')]) {
      const { body } = await api.call('GET', `/scheduler/allocations?cursor=${cursor}`, { as: await asUser('ann') });
      expect(body).toMatchObject({ statusCode: 400, code: 'VALIDATION_FAILED', details: { field: 'cursor' } });
    }
  });

  test('counts what the caller may see', async () => {
    await bench.addDevices(3);
    const { allocationId } = (await allocate('ann')).body.data;
    await allocate('ann');
    await allocate('bob');
    await api.call('POST', '/scheduler/devices/release', { as: await asUser('ann'), body: { allocationId } });
    const stats = async (as: Record<string, string>, query = '') =>
      (await api.call('GET', `/scheduler/allocations/stats${query}`, { as })).body;

    expect((await stats(await asUser('ann'))).data).toMatchObject({
      totalAllocations: 2,
      activeAllocations: 1,
      releasedAllocations: 1,
      expiredAllocations: 0,
      strategy: 'resource_based',
      byTier: { standard: 2 },
      byEndReason: { released: 1 },
      waitP50Ms: expect.any(Number),
    });
    expect((await stats(await asService())).data).toMatchObject({ totalAllocations: 3, activeAllocations: 2 });
    expect((await stats(await asService(), '?tenantId=t1')).data).toMatchObject({ totalAllocations: 0, waitP50Ms: null });
    expect((await stats(await asUser('ann'), '?tenantId=t1')).statusCode).toBe(403);
  });
});
