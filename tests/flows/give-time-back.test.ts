import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { RESERVATION_SCHEDULES } from '../../queues/schedules.ts';
import type { QuotaFact } from '../../shared/allocation/facts.ts';
import { startReservations } from '../../workers/reservations/start-reservations.ts';
import { tick } from '../../workers/reservations/tick.ts';
import { type ApiBench, type ApiServer, asService, openApiBench, quotaOf } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { readInvariants } from '../support/invariants.ts';
import { openRedis, redisAddress } from '../support/open-redis.ts';
import { booked, letPass, reservationParts } from '../support/reservation-bench.ts';

/** No maintenance worker runs here: whoever is not woken by what happened waits for ever. */
let bench: ApiBench;
let api: ApiServer;
let service: Record<string, string>;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  service = await asService();
  await bench.startWorkers();
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction(
    (tx) =>
      tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, reservations, reservation_series, scheduled_runs, idempotency_keys CASCADE`,
  );
});

const MINUTE = 60_000;
const inMinutes = (minutes: number) => new Date(Math.ceil(Date.now() / MINUTE) * MINUTE + minutes * MINUTE).toISOString();

const call = async (method: string, path: string, body: object) => {
  const answer = await api.call(method, `/scheduler${path}`, { as: service, body });
  expect([path, answer.status < 300, answer.body]).toEqual([path, true, answer.body]);
  return answer.body.data;
};
const reserve = (wish: object = {}) =>
  call('POST', '/reservations', { userId: 'bob', reservedStartTime: inMinutes(30), durationMinutes: 60, ...wish });

/** Somebody who wants a device for longer than it is free. @returns their request */
async function wait(userId = 'ann', wish: object = {}): Promise<string> {
  const body = { userId, durationMinutes: 60, queueIfBusy: true, ...wish };
  const { requestId, status } = await call('POST', '/devices/allocate', body);
  expect(status).toBe('waiting');
  return requestId;
}

const served = (requestId: string, deviceId: unknown = expect.any(String)) =>
  eventually(async () =>
    expect(await bench.store.prisma.allocation.findUnique({ where: { requestId } })).toMatchObject({ status: 'allocated', deviceId }),
  );

describe('who waits for a device that is reserved gets it at once', () => {
  test('when the reservation is cancelled', async () => {
    await bench.addDevices(1);
    const { id } = await reserve();
    const waiting = await wait();
    await call('POST', `/reservations/${id}/cancel`, {});
    await served(waiting);
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  test('when its series is', async () => {
    await bench.addDevices(1);
    const recurrence = { frequency: 'daily', count: 3, timeZone: 'Asia/Shanghai' };
    const { reservations } = await reserve({ recurrence });
    const waiting = await wait();
    await call('POST', `/reservations/${reservations[1].id}/cancel`, { series: true });
    await served(waiting);
  });

  test('when it is put off', async () => {
    await bench.addDevices(1);
    const { id } = await reserve();
    const waiting = await wait();
    await call('PUT', `/reservations/${id}`, { reservedStartTime: inMinutes(240) });
    await served(waiting);
  });

  test('when it goes to another device', async () => {
    const [deviceId = ''] = await bench.addDevices(1);
    const { id } = await reserve();
    const waiting = await wait('ann', { devicePreferences: { deviceId } });
    const [other = ''] = await bench.addDevices(1);
    await call('PUT', `/reservations/${id}`, { deviceId: other });
    await served(waiting, deviceId);
  });

  test('when it fails to begin, by the worker', async () => {
    await bench.addDevices(1);
    const redis = await openRedis('producer', redisAddress());
    const quotas = new Map<string, QuotaFact>([['bob', { kind: 'none' }]]);
    const { reservationId } = await booked(bench.store, { userId: 'bob', inMinutes: 30 });
    const waiting = await wait();
    await letPass(bench.store, 31);
    const worker = await startReservations({
      ...reservationParts(bench, { quotas }),
      redis,
      redisAddress: redisAddress(),
      schedules: RESERVATION_SCHEDULES,
    });
    try {
      await served(waiting);
      expect(await bench.store.prisma.reservation.findUniqueOrThrow({ where: { id: reservationId } })).toMatchObject({ status: 'failed' });
    } finally {
      await worker.close();
      const queue = new Queue('reservations', { connection: redis, prefix: bench.prefix });
      for (const { name } of RESERVATION_SCHEDULES) await queue.removeJobScheduler(name);
      await queue.close();
      redis.disconnect();
    }
  });
});

describe('a look at the reservations says what it has given back', () => {
  /** One look. @returns what it told the others, if it did */
  async function look(quotas: ReadonlyMap<string, QuotaFact> = new Map()) {
    const told: object[] = [];
    const announce = async (change: object) => void told.push(change);
    await tick({ ...reservationParts(bench, { quotas }), job: 'reservations', announce }, new AbortController().signal);
    return told;
  }
  const nothing = { devices: [], allocations: [], requests: [] };

  test('nothing, when nothing was due', async () => {
    await bench.addDevices(1);
    await booked(bench.store, { inMinutes: 90 });
    expect(await look()).toEqual([]);
  });

  test('the device of one that expires, and of one that fails', async () => {
    const [device = ''] = await bench.addDevices(1);
    await booked(bench.store, { inMinutes: 30 });
    await letPass(bench.store, 91);
    expect(await look()).toEqual([{ ...nothing, devices: [device] }]);
    await booked(bench.store, { userId: 'gone', inMinutes: 30 });
    await letPass(bench.store, 31);
    expect(await look(new Map([['gone', { kind: 'none' }]]))).toEqual([{ ...nothing, devices: [device] }]);
  });

  test('that a list may show a device no more, when one is put off to a little later', async () => {
    await bench.addDevices(1);
    await booked(bench.store, { userId: 'away', inMinutes: 30 });
    await letPass(bench.store, 31);
    expect(await look(new Map([['away', { kind: 'unavailable', reason: 'down' }]]))).toEqual([nothing]);
  });

  test('a lease of its user that had run out elsewhere, and the device it leaves for a smaller one', async () => {
    const [small = ''] = await bench.addDevices(1, { cpuCores: 2 });
    const [before = ''] = await bench.addDevices(1, { type: 'tablet' });
    const held = await call('POST', '/devices/allocate', {
      userId: 'bob',
      durationMinutes: 20,
      devicePreferences: { deviceId: before },
    });
    const { reservationId } = await booked(bench.store, { userId: 'bob', inMinutes: 30, deviceType: 'phone' });
    const [big = ''] = await bench.addDevices(1, { cpuCores: 8 });
    await bench.store.prisma.reservation.update({ where: { id: reservationId }, data: { deviceId: big } });
    const few = quotaOf(10);
    if (few.kind !== 'known') throw new Error('a quota is known');
    const quota = { ...few.quota, limits: { ...few.quota.limits, maxCpuCoresPerDevice: 4 } };
    await letPass(bench.store, 31);
    expect(await look(new Map([['bob', { ...few, quota }]]))).toEqual([
      { ...nothing, devices: [big, before], allocations: [held.allocationId] },
    ]);
    expect(await bench.store.prisma.reservation.findUniqueOrThrow({ where: { id: reservationId } })).toMatchObject({
      status: 'executing',
      deviceId: small,
    });
  });
});

describe('the list of available devices', () => {
  const list = async () => {
    const { headers, body } = await api.call('GET', '/scheduler/devices/available', { as: service });
    return [headers.get('x-cache'), body.data.total];
  };
  const fresh = () => bench.redis.incr(`${bench.prefix}:available:epoch`);

  test.each([
    ['cancelled', (id: string) => call('POST', `/reservations/${id}/cancel`, {})],
    ['put off', (id: string) => call('PUT', `/reservations/${id}`, { reservedStartTime: inMinutes(200) })],
  ])('shows a device again whose reservation has begun, is not used yet, and is %s', async (_how, giveBack) => {
    await bench.addDevices(1);
    const { id } = await reserve();
    await letPass(bench.store, 31);
    await fresh();
    expect(await list()).toEqual(['MISS', 0]);
    await giveBack(id);
    expect(await list()).toEqual(['MISS', 1]);
  });

  test('is read anew when a reservation is made that begins soon, and kept when it is for later', async () => {
    await bench.addDevices(2);
    await fresh();
    expect(await list()).toEqual(['MISS', 2]);
    const { id } = await reserve();
    expect(await list()).toEqual(['HIT', 2]);
    await call('PUT', `/reservations/${id}`, { durationMinutes: 90 });
    expect(await list()).toEqual(['HIT', 2]);
    await reserve({ userId: 'cyd', reservedStartTime: new Date(Date.now() + 9_000).toISOString() });
    expect(await list()).toEqual(['MISS', 2]);
    await call('PUT', `/reservations/${id}`, { reservedStartTime: new Date(Date.now() + 9_000).toISOString(), durationMinutes: 300 });
    expect(await list()).toEqual(['MISS', 2]);
  });
});
