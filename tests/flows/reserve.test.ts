import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';

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
      tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, reservations, reservation_series, idempotency_keys CASCADE`,
  );
});

const MINUTE = 60_000;
/** So many minutes from now, at a full minute. */
const inMinutes = (minutes: number) => new Date(Math.ceil(Date.now() / MINUTE) * MINUTE + minutes * MINUTE).toISOString();
const later = (time: string, minutes: number) => new Date(Date.parse(time) + minutes * MINUTE).toISOString();
const book = (userId: string, wish: object) =>
  api.call('POST', '/scheduler/reservations', { as: service, body: { userId, durationMinutes: 60, ...wish } });
const topics = async () => (await bench.store.prisma.outboxEntry.findMany({ orderBy: { id: 'asc' } })).map(({ topic }) => topic);

describe('a reservation', () => {
  it('is confirmed with a device, and announced', async () => {
    const [id = ''] = await bench.addDevices(1);
    const start = inMinutes(30);
    const answer = await book('ann', { reservedStartTime: start });
    expect(answer.status).toBe(201);
    expect(answer.body.data).toMatchObject({
      userId: 'ann',
      status: 'confirmed',
      deviceId: id,
      reservedStartTime: start,
      reservedEndTime: later(start, 60),
      durationMinutes: 60,
      remindBeforeMinutes: 15,
    });
    expect(await topics()).toEqual(['scheduler.reservation.created']);
    const read = await api.call('GET', `/scheduler/reservations/${answer.body.data.id}`, { as: await asUser('ann') });
    expect(read.body.data).toMatchObject({ id: answer.body.data.id, deviceName: 'device 0' });
    expect(read.body.data).not.toHaveProperty('adbHost');
  });

  it('in the past is not valid, a malformed one names its field', async () => {
    await bench.addDevices(1);
    expect((await book('ann', { reservedStartTime: new Date(Date.now() - 1).toISOString() })).body).toMatchObject({
      statusCode: 400,
      code: 'VALIDATION_FAILED',
      details: { field: 'reservedStartTime' },
    });
    for (const wrong of [
      { durationMinutes: 14 },
      { durationMinutes: 1441 },
      { durationMinutes: '60' },
      { remindBeforeMinutes: 61 },
      { deviceType: 'watch' },
      { reservedStartTime: 'tomorrow' },
    ])
      expect((await book('ann', { reservedStartTime: inMinutes(5), ...wrong })).status).toBe(400);
  });

  it('is refused for who is blocked or owes', async () => {
    await bench.addDevices(1);
    await bench.store.prisma.user.createMany({
      data: [
        { id: 'sue', state: 'suspended' },
        { id: 'owe', arrearsSince: new Date() },
      ],
    });
    expect((await book('sue', { reservedStartTime: inMinutes(5) })).body).toMatchObject({ statusCode: 403, code: 'USER_SUSPENDED' });
    expect((await book('owe', { reservedStartTime: inMinutes(5) })).body).toMatchObject({ statusCode: 402, code: 'ACCOUNT_IN_ARREARS' });
  });

  it('of a user who has one at that time is a conflict', async () => {
    await bench.addDevices(2);
    const start = inMinutes(30);
    const first = await book('ann', { reservedStartTime: start });
    const second = await book('ann', { reservedStartTime: later(start, 59) });
    expect(second.body).toMatchObject({
      statusCode: 409,
      code: 'RESERVATION_CONFLICT',
      details: { conflicts: [{ reservationId: first.body.data.id, reservedStartTime: start }] },
    });
    expect((await book('ann', { reservedStartTime: later(start, 60) })).status).toBe(201);
    const check = (from: string, to: string) =>
      api.call('POST', '/scheduler/reservations/check-conflict', { as: service, body: { userId: 'ann', startTime: from, endTime: to } });
    expect((await check(later(start, 10), later(start, 20))).body.data).toMatchObject({
      hasConflict: true,
      conflictingReservations: [{ id: first.body.data.id }],
    });
    expect((await check(later(start, -10), start)).body.data).toEqual({ hasConflict: false, conflictingReservations: [] });
  });

  it('gets the device a lease will have left, and none whose lease lasts longer', async () => {
    const [id = ''] = await bench.addDevices(1);
    const lease = await api.call('POST', '/scheduler/devices/allocate', {
      as: service,
      body: { userId: 'bob', durationMinutes: 20, waitMs: 30_000 },
    });
    expect(lease.status).toBe(201);
    const early = await book('ann', { reservedStartTime: later(lease.body.data.expiresAt, -5) });
    expect(early.body).toMatchObject({ code: 'NO_CAPACITY', details: { conflicts: [{ deviceId: id, by: 'allocation' }] } });
    const [slot] = early.body.details.freeSlots;
    expect(Date.parse(slot.reservedStartTime)).toBeGreaterThanOrEqual(Date.parse(lease.body.data.expiresAt));
    expect((await book('ann', { reservedStartTime: slot.reservedStartTime })).body.data).toMatchObject({ deviceId: id });
  });

  it('holds its device against an allocation that would reach into it, and only against that one', async () => {
    await bench.addDevices(1);
    expect((await book('ann', { reservedStartTime: inMinutes(30) })).status).toBe(201);
    const allocate = (durationMinutes: number) =>
      api.call('POST', '/scheduler/devices/allocate', { as: service, body: { userId: 'bob', durationMinutes, waitMs: 30_000 } });
    expect((await allocate(45)).body).toMatchObject({ statusCode: 409, code: 'NO_DEVICE_AVAILABLE' });
    expect((await allocate(25)).status).toBe(201);
  });

  it('says when no device of the fleet matches, or only larger ones than the quota allows', async () => {
    await bench.addDevices(1);
    expect((await book('ann', { reservedStartTime: inMinutes(5), deviceType: 'tablet' })).body).toMatchObject({
      code: 'NO_MATCHING_DEVICE',
    });
    expect((await book('ann', { reservedStartTime: inMinutes(5), minCpu: 5 })).body).toMatchObject({ code: 'NO_MATCHING_DEVICE' });
    await bench.store.prisma.user.create({ data: { id: 'tim', limits: { maxDevices: 1, maxCpuPerDevice: 2 } } });
    expect((await book('tim', { reservedStartTime: inMinutes(5) })).body).toMatchObject({ statusCode: 403, code: 'QUOTA_EXCEEDED' });
  });

  it('under an Idempotency-Key is one, whatever is repeated', async () => {
    await bench.addDevices(2);
    const body = { userId: 'ann', reservedStartTime: inMinutes(5), durationMinutes: 30 };
    const headers = { 'idempotency-key': randomUUID() };
    const answers = await Promise.all([1, 2, 3].map(() => api.call('POST', '/scheduler/reservations', { as: service, body, headers })));
    expect(new Set(answers.map(({ body: said }) => said.data.id)).size).toBe(1);
    expect(await bench.store.prisma.reservation.count()).toBe(1);
  });
});

describe('fifty at once for few devices', () => {
  it('get what there is, none overlaps, and every refusal names slots that a second request really gets', async () => {
    await bench.addDevices(5);
    const start = inMinutes(60);
    const wishes = Array.from({ length: 50 }, (_, index) => ({
      userId: `user-${index}`,
      reservedStartTime: later(start, 10 * (index % 4)),
      durationMinutes: 60,
    }));
    const answers = await Promise.all(wishes.map((wish) => book(wish.userId, wish)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(5);
    const refusals = answers.flatMap((answer, index) => (answer.status === 409 ? [{ answer, wish: wishes[index] }] : []));
    expect(refusals).toHaveLength(45);
    for (const { answer } of refusals) {
      expect(answer.body).toMatchObject({ code: 'NO_CAPACITY' });
      expect(answer.body.details.conflicts.length).toBeGreaterThan(0);
      expect(answer.body.details.freeSlots.length).toBeGreaterThan(0);
    }
    for (const { answer, wish } of refusals) {
      const fresh = await book(wish?.userId ?? '', wish ?? {});
      const [slot] = fresh.body.details?.freeSlots ?? [];
      const got = await book(wish?.userId ?? '', { ...wish, reservedStartTime: slot?.reservedStartTime });
      expect([answer.status, fresh.body.code, got.status, got.body.code]).toEqual([409, 'NO_CAPACITY', 201, undefined]);
    }
    const overlaps = await bench.store.prisma.$queryRaw<{ n: number }[]>`
      SELECT count(*)::int AS n FROM reservations a JOIN reservations b ON a.device_id = b.device_id AND a.id < b.id
      AND tstzrange(a.starts_at, a.blocked_until) && tstzrange(b.starts_at, b.blocked_until)`;
    expect(overlaps).toEqual([{ n: 0 }]);
  });

  it('use every device that is there', async () => {
    await bench.addDevices(50);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => book(`user-${index}`, { reservedStartTime: inMinutes(60) })),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
    expect(new Set(answers.map(({ body }) => body.data.deviceId)).size).toBe(50);
  });

  it('racing with allocations never leave a lease that reaches into a reservation', async () => {
    await bench.addDevices(10);
    const start = inMinutes(30);
    await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        index % 2 === 0
          ? book(`user-${index}`, { reservedStartTime: start })
          : api.call('POST', '/scheduler/devices/allocate', {
              as: service,
              body: { userId: `user-${index}`, durationMinutes: 60, waitMs: 30_000 },
            }),
      ),
    );
    const [row] = await bench.store.prisma.$queryRaw<{ booked: number; leased: number; wrong: number }[]>`
      SELECT (SELECT count(*)::int FROM reservations) AS booked, (SELECT count(*)::int FROM allocations) AS leased,
        (SELECT count(*)::int FROM reservations r JOIN allocations a ON a.device_id = r.device_id AND a.expires_at > r.starts_at) AS wrong`;
    expect(row?.wrong).toBe(0);
    expect((row?.booked ?? 0) + (row?.leased ?? 0)).toBe(10);
  });
});

describe('a change', () => {
  it('checks every rule again and keeps the device if it can', async () => {
    const devices = await bench.addDevices(2);
    const start = inMinutes(60);
    const { data } = (await book('ann', { reservedStartTime: start })).body;
    const put = (body: object, as = service) => api.call('PUT', `/scheduler/reservations/${data.id}`, { as, body });
    const moved = await put({ reservedStartTime: later(start, 30), durationMinutes: 90 });
    expect(moved.body.data).toMatchObject({
      deviceId: data.deviceId,
      reservedStartTime: later(start, 30),
      reservedEndTime: later(start, 120),
    });
    expect((await put({ reservedStartTime: new Date(0).toISOString() })).status).toBe(400);
    expect((await put({ deviceType: 'tablet' })).body).toMatchObject({ code: 'NO_MATCHING_DEVICE' });
    const other = devices.find((id) => id !== data.deviceId);
    expect((await put({ deviceId: other })).body.data).toMatchObject({ deviceId: other });
    expect(await topics()).toEqual(expect.arrayContaining(['scheduler.reservation.updated']));
    expect((await put({}, await asUser('bob'))).body).toMatchObject({ statusCode: 404, code: 'RESERVATION_NOT_FOUND' });
  });

  it('goes to another device when somebody else has the own one then, and is refused when all are taken', async () => {
    await bench.addDevices(2);
    const start = inMinutes(60);
    const { data } = (await book('ann', { reservedStartTime: start })).body;
    const taken = (await book('bob', { reservedStartTime: later(start, 60), deviceId: data.deviceId })).body.data;
    expect(taken.deviceId).toBe(data.deviceId);
    const put = () => api.call('PUT', `/scheduler/reservations/${data.id}`, { as: service, body: { reservedStartTime: later(start, 30) } });
    const moved = await put();
    expect(moved.body.data.deviceId).not.toBe(data.deviceId);
    await book('cyd', { reservedStartTime: later(start, 90) });
    const full = await api.call('PUT', `/scheduler/reservations/${data.id}`, {
      as: service,
      body: { reservedStartTime: later(start, 61) },
    });
    expect(full.body).toMatchObject({ code: 'NO_CAPACITY' });
    expect((await api.call('GET', `/scheduler/reservations/${data.id}`, { as: service })).body.data).toMatchObject({
      reservedStartTime: later(start, 30),
    });
  });

  it('to what is cancelled, or a second cancellation, is refused', async () => {
    await bench.addDevices(1);
    const { data } = (await book('ann', { reservedStartTime: inMinutes(60) })).body;
    const cancel = () => api.call('POST', `/scheduler/reservations/${data.id}/cancel`, { as: service, body: { reason: 'no time' } });
    expect((await cancel()).body.data).toMatchObject({ status: 'cancelled', cancelReason: 'no time' });
    expect((await cancel()).body).toMatchObject({ statusCode: 409, code: 'STATE_CONFLICT', details: { status: 'cancelled' } });
    expect((await api.call('PUT', `/scheduler/reservations/${data.id}`, { as: service, body: {} })).status).toBe(409);
    expect(await topics()).toEqual(expect.arrayContaining(['scheduler.reservation.cancelled']));
    expect((await book('bob', { reservedStartTime: data.reservedStartTime })).status).toBe(201);
  });
});

describe('the gap between two', () => {
  it('is kept before and after, also towards leases', async () => {
    const gapped = await bench.start({ gapSeconds: 300 });
    const [id = ''] = await bench.addDevices(1);
    const start = inMinutes(120);
    const reserve = (userId: string, reservedStartTime: string) =>
      gapped.call('POST', '/scheduler/reservations', { as: service, body: { userId, reservedStartTime, durationMinutes: 60 } });
    expect((await reserve('ann', start)).body.data).toMatchObject({ deviceId: id });
    expect((await reserve('bob', later(start, 64))).body).toMatchObject({
      code: 'NO_CAPACITY',
      details: { freeSlots: expect.arrayContaining([expect.objectContaining({ reservedStartTime: later(start, 65) })]) },
    });
    expect((await reserve('bob', later(start, 65))).status).toBe(201);
    expect((await reserve('cyd', later(start, -64))).body).toMatchObject({ code: 'NO_CAPACITY' });
    const minutes = Math.floor((Date.parse(start) - Date.now()) / MINUTE);
    const allocate = (durationMinutes: number) =>
      api.call('POST', '/scheduler/devices/allocate', { as: service, body: { userId: 'dan', durationMinutes, waitMs: 30_000 } });
    expect((await allocate(minutes - 3)).body).toMatchObject({ code: 'NO_DEVICE_AVAILABLE' });
    expect((await allocate(minutes - 6)).status).toBe(201);
    await gapped.close();
  });
});

describe('reservations', () => {
  it('are listed by cursor and by page, filtered, and only to who may see them', async () => {
    await bench.addDevices(5);
    const start = inMinutes(60);
    for (let index = 0; index < 5; index += 1) await book(index < 3 ? 'ann' : 'bob', { reservedStartTime: later(start, 60 * index) });
    const list = (query: string, as = service) => api.call('GET', `/scheduler/reservations?${query}`, { as });
    const first = await list('limit=2');
    expect(first.body.data).toMatchObject({ total: 5, items: [{ userId: 'bob' }, { userId: 'bob' }] });
    const second = await list(`limit=2&cursor=${first.body.data.nextCursor}`);
    expect(second.body.data.items.map((item: { reservedStartTime: string }) => item.reservedStartTime)).toEqual([
      later(start, 120),
      later(start, 60),
    ]);
    expect((await list('page=3&pageSize=2')).body.data).toMatchObject({
      total: 5,
      page: 3,
      pageSize: 2,
      totalPages: 3,
      items: [{ userId: 'ann' }],
    });
    expect((await list('userId=ann&status=confirmed')).body.data.total).toBe(3);
    expect((await list(`startTimeFrom=${start}&startTimeTo=${later(start, 60)}`)).body.data.total).toBe(1);
    expect((await list('', await asUser('ann'))).body.data.total).toBe(3);
    expect((await list('userId=bob', await asUser('ann'))).status).toBe(403);
    const stats = await api.call('GET', '/scheduler/reservations/stats/summary', { as: service });
    expect(stats.body.data).toMatchObject({ total: 5, byStatus: { confirmed: 5 }, startingWithin24h: 5, startedLast30Days: 0 });
  });

  it('of others do not exist for a user', async () => {
    await bench.addDevices(1);
    const { data } = (await book('ann', { reservedStartTime: inMinutes(60) })).body;
    const bob = await asUser('bob');
    for (const [method, path] of [
      ['GET', ''],
      ['PUT', ''],
      ['POST', '/cancel'],
    ] as const) {
      const answer = await api.call(method, `/scheduler/reservations/${data.id}${path}`, {
        as: bob,
        ...(method === 'GET' ? {} : { body: {} }),
      });
      expect(answer.body).toMatchObject({ statusCode: 404, code: 'RESERVATION_NOT_FOUND' });
    }
    expect(
      (
        await api.call('POST', '/scheduler/reservations', {
          as: bob,
          body: { userId: 'ann', reservedStartTime: inMinutes(60), durationMinutes: 60 },
        })
      ).status,
    ).toBe(403);
  });
});
