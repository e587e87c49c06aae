import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench, quotaOf } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { readInvariants } from '../support/invariants.ts';

let bench: ApiBench;
let api: ApiServer;
beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await bench.startWorkers(new Map([['full', quotaOf(1)]]));
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction(
    (tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, idempotency_keys CASCADE`,
  );
});

const call = async (method: string, path: string, user: string, body?: unknown, claims: object = {}) =>
  api.call(method, path, { as: await asUser(user, { ...claims }), ...(body === undefined ? {} : { body }) });
const join = (user: string, body: object = {}, claims: object = {}) => call('POST', '/scheduler/queue/join', user, body, claims);
const statusOf = async (user: string, id: string) => (await call('GET', `/scheduler/queue/${id}`, user)).body.data;

/** A device held by somebody. @returns what releases it */
async function held(changes: object = {}): Promise<() => Promise<void>> {
  await bench.addDevices(1, { ...changes });
  const { body } = await call('POST', '/scheduler/devices/allocate', 'holder', { userId: 'holder', waitMs: 30_000 });
  return async () => {
    const { status } = await call('POST', '/scheduler/devices/release', 'holder', { allocationId: body.data.allocationId });
    expect(status).toBe(200);
  };
}

describe('the queue', () => {
  it('is joined once at a time, and served when a device is free', async () => {
    const release = await held();
    const { status, body, headers } = await join('ann', { durationMinutes: 30 }, { tier: 'vip' });
    expect(status).toBe(201);
    const { id } = body.data;
    expect(headers.get('location')).toBe(`/scheduler/queue/${id}`);
    expect(body.data).toMatchObject({
      userId: 'ann',
      status: 'waiting',
      priority: 1,
      userTier: 'vip',
      queuePosition: 1,
      durationMinutes: 30,
    });
    expect((await join('ann')).body).toMatchObject({ statusCode: 409, code: 'ALREADY_QUEUED', details: { queueId: id } });
    await release();
    await eventually(async () =>
      expect(await statusOf('ann', id)).toMatchObject({ status: 'fulfilled', allocationId: expect.any(String) }),
    );
    const topics = await bench.store.prisma.outboxEntry.findMany({ where: { key: id }, orderBy: { id: 'asc' }, select: { topic: true } });
    expect(topics.map(({ topic }) => topic)).toEqual(['scheduler.queue.joined', 'scheduler.queue.fulfilled']);
    expect((await join('ann')).status).toBe(201);
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  it('has a device at once for who joins while one is free', async () => {
    await bench.addDevices(1);
    const { id } = (await join('ann')).body.data;
    await eventually(async () => expect((await statusOf('ann', id)).status).toBe('fulfilled'));
  });

  it('is left, with a reason, until it is too late', async () => {
    const release = await held();
    const { id } = (await join('ann')).body.data;
    expect((await call('POST', `/scheduler/queue/${id}/cancel`, 'ann', { reason: 'tired' })).body.data).toMatchObject({
      status: 'cancelled',
      cancelReason: 'tired',
      cancelledAt: expect.any(String),
    });
    expect((await call('POST', `/scheduler/queue/${id}/cancel`, 'ann')).body).toMatchObject({ statusCode: 409, code: 'REQUEST_DECIDED' });
    await release();
    expect(await bench.store.prisma.outboxEntry.count({ where: { topic: 'scheduler.queue.cancelled', key: id } })).toBe(1);
    expect(await bench.store.prisma.device.count({ where: { allocationId: null } })).toBe(1);
  });

  it('is closed to who is suspended, until they are not', async () => {
    await bench.store.prisma.user.create({ data: { id: 'sue', state: 'suspended' } });
    expect((await join('sue')).body).toMatchObject({ statusCode: 403, code: 'USER_SUSPENDED' });
    expect(await bench.store.prisma.request.count()).toBe(0);
    await bench.store.prisma.user.update({ where: { id: 'sue' }, data: { state: 'active' } });
    expect((await join('sue')).status).toBe(201);
  });

  it('passes over who is at the limit, and serves them after their own release', async () => {
    await bench.addDevices(1);
    const own = (await call('POST', '/scheduler/devices/allocate', 'full', { userId: 'full', waitMs: 30_000 })).body.data;
    const { id } = (await join('full')).body.data;
    await bench.addDevices(1);
    const next = (await join('ann')).body.data;
    await eventually(async () => expect((await statusOf('ann', next.id)).status).toBe('fulfilled'));
    await eventually(async () =>
      expect((await call('GET', `/scheduler/queue/${id}/position`, 'full')).body.data).toMatchObject({ reason: 'QUOTA_USER' }),
    );
    await call('POST', '/scheduler/devices/release', 'full', { allocationId: own.allocationId });
    await eventually(async () => expect((await statusOf('full', id)).status).toBe('fulfilled'));
  });
});

describe('a place in the queue', () => {
  it('says how many are ahead who want the same, why, and when', async () => {
    await held();
    await held({ type: 'tablet' });
    await join('ann', { deviceType: 'phone' });
    await join('bob', { deviceType: 'tablet' });
    const { id } = (await join('cyd', { deviceType: 'phone', maxWaitMinutes: 20 })).body.data;
    const { body } = await call('GET', `/scheduler/queue/${id}/position`, 'cyd');
    expect(body.data).toMatchObject({
      position: 2,
      aheadCount: 1,
      waitedMinutes: 0,
      remainingMaxWaitMinutes: 20,
      reason: 'POOL_BUSY',
      estimatedStart: { p50: expect.any(String), p90: expect.any(String) },
      estimatedWaitMinutes: expect.any(Number),
    });
    // One phone, held for an hour: ann has it then for an hour, cyd after her.
    expect(body.data.estimatedWaitMinutes).toBeGreaterThan(110);
    expect((await call('GET', `/scheduler/requests/${id}`, 'cyd')).body.data).toMatchObject({ status: 'waiting', position: 2 });
  });

  it('says that there is none of the kind, that it is drained or being cleaned', async () => {
    const reasonOf = async (user: string, deviceType: string) => {
      const { id } = (await join(user, { deviceType })).body.data;
      return (await call('GET', `/scheduler/queue/${id}/position`, user)).body.data.reason;
    };
    const [phone = ''] = await bench.addDevices(1, { draining: true });
    expect(await reasonOf('ann', 'tablet')).toBe('NO_MATCH');
    expect(await reasonOf('bob', 'phone')).toBe('DRAINING');
    await bench.store.prisma.device.update({
      where: { id: phone },
      data: { draining: false, cleaningUntil: new Date(Date.now() + 60_000) },
    });
    expect(await reasonOf('cyd', 'phone')).toBe('CLEANING');
  });

  it('is told with 202 to who asks with queueIfBusy', async () => {
    await held();
    const { status, body } = await call('POST', '/scheduler/devices/allocate', 'ann', { userId: 'ann', queueIfBusy: true, waitMs: 30_000 });
    expect([status, body.data]).toMatchObject([
      202,
      { status: 'waiting', position: 1, reason: 'POOL_BUSY', estimatedStart: { p50: expect.any(String) } },
    ]);
    expect((await call('GET', `/scheduler/queue/${body.data.requestId}`, 'ann')).body.data).toMatchObject({ status: 'waiting' });
  });
});

describe('lists of the queue', () => {
  it('are read by cursor and by page, filtered, and hold what the caller may see', async () => {
    await held();
    for (const user of ['ann', 'bob', 'cyd']) await join(user, { deviceType: user === 'bob' ? 'tablet' : 'phone' });
    const service = await asService();
    const list = async (query: string) => (await api.call('GET', `/scheduler/${query}`, { as: service })).body.data;
    const users = (data: { items: { userId: string }[] }) => data.items.map(({ userId }) => userId);
    expect(users(await list('queue'))).toEqual(['cyd', 'bob', 'ann']);
    const first = await list('tasks?limit=2');
    expect([users(first), users(await list(`tasks?limit=2&cursor=${first.nextCursor}`))]).toEqual([['cyd', 'bob'], ['ann']]);
    expect(await list('queue?page=2&pageSize=2')).toMatchObject({
      total: 3,
      page: 2,
      pageSize: 2,
      totalPages: 2,
      items: [{ userId: 'ann' }],
    });
    expect(users(await list('queue?deviceType=tablet&status=waiting'))).toEqual(['bob']);
    expect(users(await list('queue?status=fulfilled'))).toEqual([]);
    expect(users((await call('GET', '/scheduler/queue', 'ann')).body.data)).toEqual(['ann']);
    expect((await call('GET', '/scheduler/queue?userId=bob', 'ann')).status).toBe(403);
  });

  it('do not shadow the counts, and an entry of somebody else does not exist', async () => {
    await held();
    const { id } = (await join('ann')).body.data;
    expect((await call('GET', '/scheduler/queue/stats', 'ann')).body.data).toMatchObject({
      waiting: 1,
      byTier: { standard: 1 },
      fulfilled: 0,
    });
    for (const path of [id, `${id}/position`])
      expect((await call('GET', `/scheduler/queue/${path}`, 'eve')).body.code).toBe('QUEUE_ENTRY_NOT_FOUND');
    expect((await call('POST', `/scheduler/queue/${id}/cancel`, 'eve')).status).toBe(404);
    expect((await call('GET', `/scheduler/queue/${randomUUID()}`, 'ann')).status).toBe(404);
    expect((await join('ann', { userId: 'bob' })).status).toBe(403);
    expect((await join('ann', { userTier: 'enterprise' })).status).toBe(403);
  });
});

describe('an operator', () => {
  it('has the next ones served now, no more than asked', async () => {
    await bench.addDevices(1, { status: 'stopped' });
    for (const user of ['ann', 'bob']) await join(user);
    // Looks are taken one after the other: when this one is over, so are those the joins have asked for.
    const before = await call('POST', '/scheduler/queue/process-next', 'root', {}, { isSuperAdmin: true });
    expect(before.body.data).toEqual({ processedCount: 0, fulfilled: [] });
    await bench.store.prisma.device.updateMany({ data: { status: 'running' } });
    const { body } = await call('POST', '/scheduler/queue/process-next', 'root', {}, { isSuperAdmin: true });
    expect(body.data).toMatchObject({ processedCount: 1, fulfilled: [{ deviceId: expect.any(String) }] });
    const again = await call('POST', '/scheduler/queue/process-batch', 'root', { maxCount: 5 }, { isSuperAdmin: true });
    expect(again.body.data).toEqual({ processedCount: 0, fulfilled: [] });
  });

  it('who activates a device, or says it runs, has it given to who waits', async () => {
    const [drained = ''] = await bench.addDevices(1, { draining: true });
    const first = (await join('ann')).body.data;
    const as = await asService();
    await api.call('POST', `/scheduler/devices/${drained}/activate`, { as, body: {} });
    await eventually(async () => expect((await statusOf('ann', first.id)).status).toBe('fulfilled'));
    const second = (await join('bob')).body.data;
    const device = { name: 'new', type: 'phone', status: 'running', providerType: 'redroid', cpuCores: 2, memoryMB: 2048, storageMB: 4096 };
    await api.call('PUT', `/scheduler/devices/${randomUUID()}`, { as, body: device });
    await eventually(async () => expect((await statusOf('bob', second.id)).status).toBe('fulfilled'));
  });
});
