import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { readInvariants } from '../support/invariants.ts';
import { booked } from '../support/reservation-bench.ts';

let bench: ApiBench;
let api: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await bench.startWorkers();
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction(
    (tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, reservations, ledger, outbox, users, inbox CASCADE`,
  );
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
  const { body } = await api.call('POST', '/scheduler/devices/allocate', {
    as: await asUser('ann'),
    body: { userId: 'ann', waitMs: 30_000 },
  });
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

  test('a device is deleted once', async () => {
    const [id] = await bench.addDevices(1);
    const remove = async () => (await api.call('DELETE', `/scheduler/devices/${id}`, { as: await asService() })).body;

    expect(await remove()).toMatchObject({ success: true, data: { id } });
    expect(await remove()).toMatchObject({ statusCode: 404, code: 'DEVICE_NOT_FOUND' });
    const drained = await api.call('POST', `/scheduler/devices/${id}/drain`, { as: await asService(), body: {} });
    expect(drained.status).toBe(404);
  });
});

describe('a device that goes down by one of our doors', () => {
  const importLines = async (bodies: readonly object[]) =>
    api.call('POST', '/scheduler/devices/import', {
      as: await asService(),
      raw: bodies.map((body) => JSON.stringify(body)).join('\n'),
      headers: { 'content-type': 'application/x-ndjson' },
    });
  const by = {
    put: (id: string, status: string) => put(id, { ...PHONE, status }),
    import: (id: string, status: string) => importLines([{ ...PHONE, id: id.toUpperCase(), status }]),
    delete: async (id: string) => api.call('DELETE', `/scheduler/devices/${id}`, { as: await asService() }),
    drain: async (id: string) => api.call('POST', `/scheduler/devices/${id}/drain`, { as: await asService() }),
  } as const;
  type Door = keyof typeof by;
  const goDown = async (door: Door, id: string, status: string) => expect((await by[door](id, status)).status).toBe(200);
  const leases = async () =>
    (await bench.store.prisma.allocation.findMany({ orderBy: { allocatedAt: 'asc' } })).map(({ deviceId, endReason }) => [
      deviceId,
      endReason,
    ]);
  /** Until what the door has left to others is done. */
  const settled = (count = 1) => eventually(async () => expect(await bench.store.prisma.inboxEntry.count()).toBe(count));

  test.each<[Door, string]>([
    ['put', 'stopped'],
    ['put', 'error'],
    ['import', 'stopped'],
    ['import', 'error'],
  ])('by %s, %s, ends its lease by device_failed, and its holder gets another one', async (door, status) => {
    await bench.addDevices(1, { memoryMb: 4096 });
    const { deviceId, allocationId } = await hold();
    const [other] = await bench.addDevices(1);
    await goDown(door, deviceId, status);
    await eventually(async () =>
      expect(await leases()).toEqual([
        [deviceId, 'device_failed'],
        [other, null],
      ]),
    );
    expect(await find(deviceId)).toMatchObject({ status, allocationId: null });
    expect(await bench.store.prisma.ledgerEntry.findUnique({ where: { allocationId } })).toMatchObject({ endReason: 'device_failed' });
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  test.each<[Door, string, string]>([
    ['put', 'maintenance', 'device_maintenance'],
    ['import', 'maintenance', 'device_maintenance'],
    ['put', 'deleted', 'device_deleted'],
    ['import', 'deleted', 'device_deleted'],
    ['delete', 'deleted', 'device_deleted'],
  ])('by %s, %s, ends its lease by %s, and moves nobody', async (door, status, reason) => {
    await bench.addDevices(1);
    const { deviceId } = await hold();
    await bench.addDevices(1);
    await goDown(door, deviceId, status);
    await settled();
    expect(await leases()).toEqual([[deviceId, reason]]);
    expect(await find(deviceId)).toMatchObject({ status, allocationId: null });
    expect(await bench.store.prisma.request.count()).toBe(1);
  });

  test.each(['paused', 'idle', 'creating', 'running'])('but is merely %s keeps its holder, and what is reserved', async (status) => {
    await bench.addDevices(1);
    const { deviceId } = await hold();
    const { reservationId } = await booked(bench.store, { inMinutes: 120 });
    await bench.addDevices(1);
    for (const door of ['put', 'import'] as const) await goDown(door, deviceId, status);
    // Had they left anything to be done, it would be before this.
    const [down = ''] = await bench.addDevices(1, { status: 'error' });
    await goDown('drain', down, '');
    await settled();
    expect(await leases()).toEqual([[deviceId, null]]);
    expect(await bench.store.prisma.reservation.findUniqueOrThrow({ where: { id: reservationId } })).toMatchObject({ deviceId });
  });

  test.each<[Door, string]>([
    ['put', 'error'],
    ['import', 'maintenance'],
    ['delete', ''],
    ['drain', ''],
  ])(
    'by %s %s has its reservations moved to others at once; that for this very device stays, and so does one there is no room for',
    async (door, status) => {
      const [down = ''] = await bench.addDevices(1);
      const moved = await booked(bench.store, { inMinutes: 120 });
      const stuck = await booked(bench.store, { inMinutes: 240 });
      const named = await booked(bench.store, { inMinutes: 360, wantedDeviceId: down });
      const [other = ''] = await bench.addDevices(1);
      await booked(bench.store, { inMinutes: 240, wantedDeviceId: other });
      await goDown(door, down, status);
      const deviceOf = async ({ reservationId }: { reservationId: string }) =>
        (await bench.store.prisma.reservation.findUniqueOrThrow({ where: { id: reservationId } })).deviceId;
      await eventually(async () => expect(await deviceOf(moved)).toBe(other));
      expect([await deviceOf(stuck), await deviceOf(named)]).toEqual([down, down]);
      expect(await readInvariants(bench.store)).toEqual([]);
    },
  );

  test('and is back before anybody looked keeps its holder', async () => {
    await bench.addDevices(1);
    const { deviceId } = await hold();
    await bench.store.prisma.device.update({ where: { id: deviceId }, data: { status: 'error' } });
    await goDown('put', deviceId, 'running');
    await goDown('drain', deviceId, '');
    await settled();
    expect(await leases()).toEqual([[deviceId, null]]);
    expect(await find(deviceId)).toMatchObject({ draining: true });
  });

  test('among thousands of lines of an import leaves to be done what it took down, and no more', async () => {
    const ids = await bench.addDevices(1_500);
    const { deviceId } = await hold();
    const { deviceId: reserved } = await booked(bench.store, { inMinutes: 120 });
    const answer = await importLines(ids.map((id) => ({ ...PHONE, id, status: 'stopped' })));
    expect(answer.body.data).toMatchObject({ received: 1_500, updated: 1_500, failed: 0 });
    await settled(new Set([deviceId, reserved]).size);
    await eventually(async () => expect(await leases()).toEqual([[deviceId, 'device_failed']]));
  });
});
