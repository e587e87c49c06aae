import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';

let bench: ApiBench;
let api: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await bench.startWorkers();
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, ledger, outbox, users CASCADE`);
});

const PHONE = {
  name: 'a phone',
  type: 'phone',
  status: 'running',
  providerType: 'redroid',
  cpuCores: 4,
  memoryMB: 4096,
  storageMB: 65_536,
};

const put = async (id: string, body: object, as?: Record<string, string>) =>
  api.call('PUT', `/scheduler/devices/${id}`, { as: as ?? (await asService()), body });
const find = (id: string) => bench.store.prisma.device.findUniqueOrThrow({ where: { id } });

async function hold(): Promise<{ deviceId: string; allocationId: string }> {
  const { body } = await api.call('POST', '/scheduler/devices/allocate', { as: await asUser('ann'), body: { userId: 'ann' } });
  return body.data;
}

describe('PUT /scheduler/devices/:id', () => {
  test('creates, then updates; what is left out keeps its value', async () => {
    const id = randomUUID();
    const created = await put(id, {
      ...PHONE,
      id,
      cpuUsage: 12.5,
      healthScore: 90,
      region: 'eu',
      adbHost: '10.0.0.1',
      adbPort: 5555,
      costPerHour: 0.5,
    });
    const updated = await put(id, { ...PHONE, name: 'renamed' });

    expect([created.status, created.body.data]).toEqual([201, { id, created: true }]);
    expect([updated.status, updated.body.data]).toEqual([200, { id, created: false }]);
    expect(await find(id)).toMatchObject({
      name: 'renamed',
      cpuUsage: 12.5,
      healthScore: 90,
      region: 'eu',
      adbPort: 5555,
      costPerHour: 0.5,
      tenantId: null,
    });
    expect(created.text).not.toContain('10.0.0.1');
  });

  test('refuses what a device cannot be, naming the field', async () => {
    const wrong: [string, object][] = [
      ['cpuCores', { ...PHONE, cpuCores: '4' }],
      ['cpuCores', { ...PHONE, cpuCores: 0 }],
      ['memoryMB', { ...PHONE, memoryMB: 1.5 }],
      ['type', { ...PHONE, type: 'toaster' }],
      ['status', { ...PHONE, status: 'asleep' }],
      ['healthScore', { ...PHONE, healthScore: 101 }],
      ['adbPort', { ...PHONE, adbPort: 65_536 }],
      ['name', { ...PHONE, name: '' }],
      ['name', { ...PHONE, name: 'a\u0000b' }],
      ['region', { ...PHONE, region: '\ud800' }],
      ['id', { ...PHONE, id: randomUUID() }],
      ['wheels', { ...PHONE, wheels: 4 }],
    ];
    for (const [field, body] of wrong) {
      const answer = await put(randomUUID(), body);
      expect([field, answer.status, answer.body.details?.field]).toEqual([field, 400, field]);
    }
    expect((await put('not-a-uuid', PHONE)).body).toMatchObject({ statusCode: 400, details: { field: 'id' } });
    expect(await bench.store.prisma.device.count()).toBe(0);
  });

  test('keeps an admin to the devices of the own tenant', async () => {
    const admin = await asUser('eve', { roles: ['admin'], tenantId: 't1' });
    const [own, foreign, shared] = [randomUUID(), randomUUID(), randomUUID()];
    await put(foreign, { ...PHONE, tenantId: 't2' });
    await put(shared, PHONE);

    expect((await put(own, PHONE, admin)).status).toBe(201);
    expect(await find(own)).toMatchObject({ tenantId: 't1' });
    expect((await put(randomUUID(), { ...PHONE, tenantId: 't2' }, admin)).body).toMatchObject({
      statusCode: 403,
      details: { field: 'tenantId' },
    });
    expect((await put(foreign, PHONE, admin)).status).toBe(403);
    expect((await put(shared, PHONE, admin)).status).toBe(403);
    expect((await api.call('DELETE', `/scheduler/devices/${foreign}`, { as: admin })).status).toBe(403);
    expect((await api.call('POST', `/scheduler/devices/${own}/drain`, { as: admin })).status).toBe(200);
    expect((await put(shared, PHONE, await asUser('eve', { roles: ['admin'] }))).status).toBe(200);
  });
});

describe('a super admin', () => {
  test('of a tenant takes no device over for it', async () => {
    const root = await asUser('root', { isSuperAdmin: true, tenantId: 't1' });
    const [shared, foreign] = [randomUUID(), randomUUID()];
    await put(shared, PHONE);
    await put(shared, PHONE, root);
    await put(foreign, { ...PHONE, tenantId: 't2' }, root);
    await put(foreign, PHONE, root);
    expect([(await find(shared)).tenantId, (await find(foreign)).tenantId]).toEqual([null, 't2']);
  });
});

describe('draining, activating and deleting', () => {
  test('a drained device keeps its lease and gets no new one until it is activated', async () => {
    const [id] = await bench.addDevices(1);
    const { allocationId } = await hold();
    const change = async (verb: string) => (await api.call('POST', `/scheduler/devices/${id}/${verb}`, { as: await asService() })).status;

    expect(await change('drain')).toBe(200);
    expect(await bench.store.prisma.allocation.findUniqueOrThrow({ where: { id: allocationId } })).toMatchObject({ status: 'allocated' });
    await api.call('POST', '/scheduler/devices/release', { as: await asUser('ann'), body: { allocationId } });
    const refused = await api.call('POST', '/scheduler/devices/allocate', { as: await asUser('ann'), body: { userId: 'ann' } });
    expect(refused.status).toBe(409);
    expect(await change('activate')).toBe(200);
    expect((await hold()).deviceId).toBe(id);
  });

  test('a held device is not deleted, a free one is, once', async () => {
    const [id] = await bench.addDevices(1);
    const { allocationId } = await hold();
    const remove = async () => (await api.call('DELETE', `/scheduler/devices/${id}`, { as: await asService() })).body;

    expect(await remove()).toMatchObject({ statusCode: 409, code: 'DEVICE_HELD' });
    expect((await put(id ?? '', { ...PHONE, status: 'deleted' })).body).toMatchObject({ statusCode: 409, code: 'DEVICE_HELD' });
    await api.call('POST', '/scheduler/devices/release', { as: await asUser('ann'), body: { allocationId } });
    expect(await remove()).toMatchObject({ success: true, data: { id } });
    expect(await remove()).toMatchObject({ statusCode: 404, code: 'DEVICE_NOT_FOUND' });
    const drained = await api.call('POST', `/scheduler/devices/${id}/drain`, { as: await asService(), body: {} });
    expect(drained.status).toBe(404);
  });
});
