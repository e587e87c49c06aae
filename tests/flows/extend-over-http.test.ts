import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type Answer, type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { readInvariants } from '../support/invariants.ts';

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
    (tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, reservations, idempotency_keys CASCADE`,
  );
});

/** An allocation of 30 minutes: inside the window of every tier from its first minute. */
async function granted(userId = 'ann', tier = 'standard', durationMinutes = 30): Promise<{ id: string; fence: number; expiresAt: string }> {
  await bench.addDevices(1);
  const as = await asService();
  const { body } = await api.call('POST', '/scheduler/devices/allocate', {
    as,
    body: { userId, userTier: tier, durationMinutes, waitMs: 30_000 },
  });
  return { id: body.data.allocationId, fence: body.data.fence, expiresAt: body.data.expiresAt };
}

async function extend(id: string, said: object, as?: Record<string, string>, headers: Record<string, string> = {}): Promise<Answer> {
  return api.call('PUT', `/scheduler/allocations/${id}/extend`, { as: as ?? (await asUser('ann')), body: said, headers });
}

const rowOf = (id: string) => bench.store.prisma.allocation.findUniqueOrThrow({ where: { id } });
const plus = (instant: string, minutes: number) => new Date(Date.parse(instant) + minutes * 60_000).toISOString();

async function reserve(allocationId: string, startsAt: string): Promise<void> {
  const { deviceId } = await rowOf(allocationId);
  const endsAt = plus(startsAt, 30);
  await bench.store.prisma.reservation.create({
    data: { id: randomUUID(), userId: 'bob', userTier: 'free', status: 'confirmed', deviceId, startsAt, endsAt, blockedUntil: endsAt },
  });
}

describe('PUT /scheduler/allocations/:id/extend', () => {
  test('moves the end, and allocation, history and event agree', async () => {
    const { id, fence, expiresAt } = await granted();
    const { status, body } = await extend(id, { additionalMinutes: 20, fence, reason: 'not done' });
    const newExpiresAt = plus(expiresAt, 20);
    expect(status).toBe(200);
    expect(body.data).toEqual({
      oldExpiresAt: expiresAt,
      newExpiresAt,
      additionalMinutes: 20,
      extendCount: 1,
      remainingExtends: 4,
      totalDurationMinutes: 50,
    });
    expect(await rowOf(id)).toMatchObject({ expiresAt: new Date(newExpiresAt), durationMinutes: 50, extendCount: 1 });
    const events = await bench.store.prisma.outboxEntry.findMany({ where: { topic: 'scheduler.allocation.extended' } });
    expect(events).toMatchObject([
      {
        key: id,
        payload: {
          allocationId: id,
          userId: 'ann',
          automatic: false,
          oldExpiresAt: expiresAt,
          newExpiresAt,
          additionalMinutes: 20,
          extendCount: 1,
        },
      },
    ]);
    const { body: whole } = await api.call('GET', `/scheduler/allocations/${id}`, { as: await asUser('ann') });
    expect(whole.data).toMatchObject({ expiresAt: newExpiresAt, durationMinutes: 50, extendCount: 1 });
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  test('checks in the order of the contract: what stands first in the way is the answer', async () => {
    const { id, expiresAt } = await granted('ann', 'free');
    const answers: [number, string, object | undefined][] = [];
    const ask = async (said: object = {}) => {
      const { status, body } = await extend(id, { additionalMinutes: 31, ...said });
      answers.push([status, body.code, body.details]);
    };
    const set = (data: object) => bench.store.prisma.allocation.update({ where: { id }, data });
    const now = Date.now();
    // Everything is wrong at once; one thing after the other is put right.
    await reserve(id, plus(expiresAt, 600));
    await bench.store.prisma.user.update({ where: { id: 'ann' }, data: { arrearsSince: new Date() } });
    await set({ extendCount: 2, durationMinutes: 110, lastExtendedAt: new Date(now), expiresAt: plus(expiresAt, 595) });
    await ask();
    await set({ extendCount: 1 });
    await ask();
    await ask({ additionalMinutes: 30 });
    await set({ durationMinutes: 60 });
    await ask({ additionalMinutes: 30 });
    await set({ lastExtendedAt: new Date(now - 300_000) });
    await ask({ additionalMinutes: 30 });
    await set({ expiresAt: plus(new Date(now).toISOString(), 25) });
    await bench.store.prisma.reservation.updateMany({ data: { startsAt: plus(new Date(now).toISOString(), 30) } });
    await ask({ additionalMinutes: 30 });
    await ask({ additionalMinutes: 5 });
    await bench.store.prisma.user.update({ where: { id: 'ann' }, data: { arrearsSince: null } });
    expect((await extend(id, { additionalMinutes: 5 })).status).toBe(200);
    expect(answers).toEqual([
      [403, 'EXTEND_COUNT_REACHED', { limit: 'extends', max: 2, current: 2 }],
      [400, 'VALIDATION_FAILED', { field: 'additionalMinutes', max: 30 }],
      [403, 'EXTEND_TOTAL_REACHED', { limit: 'totalMinutes', max: 120, current: 110, left: 10 }],
      [429, 'EXTEND_COOLDOWN', { availableAt: new Date(now + 300_000).toISOString(), retryAfterSeconds: expect.any(Number) }],
      [409, 'EXTEND_TOO_EARLY', { availableAt: plus(expiresAt, 565) }],
      [409, 'RESERVED_BY_OTHER', { latestEnd: plus(new Date(now).toISOString(), 30) }],
      [402, 'ACCOUNT_IN_ARREARS', undefined],
    ]);
  });

  test('of an allocation that has ended is 409, of an older lease too, of an unknown one 404', async () => {
    const { id, fence } = await granted();
    await api.call('POST', '/scheduler/devices/release', { as: await asUser('ann'), body: { allocationId: id } });
    expect((await extend(id, { additionalMinutes: 5 })).body).toMatchObject({ statusCode: 409, code: 'ALLOCATION_ENDED' });
    const second = await granted('ann');
    await bench.store.prisma.allocation.update({ where: { id: second.id }, data: { fence: fence + 7 } });
    const stale = await extend(second.id, { additionalMinutes: 5, fence });
    expect(stale.body).toMatchObject({ statusCode: 409, code: 'STALE_FENCE', details: { fence, current: fence + 7 } });
    expect((await extend(randomUUID(), { additionalMinutes: 5 })).body).toMatchObject({ statusCode: 404, code: 'ALLOCATION_NOT_FOUND' });
  });

  test('knows an id in capitals, as every other route does', async () => {
    const { id } = await granted('ann', 'enterprise');
    expect((await extend(id.toUpperCase(), { additionalMinutes: 1 })).body.data).toMatchObject({ extendCount: 1 });
    const as = await asService();
    const many = { allocationIds: [id.toUpperCase()], additionalMinutes: 1 };
    expect((await api.call('POST', '/scheduler/allocations/batch/extend', { as, body: many })).body.data).toMatchObject({
      successCount: 1,
    });
    const { deviceId } = await rowOf(id);
    const { body } = await api.call('POST', '/scheduler/devices/release', { as, body: { deviceId: deviceId.toUpperCase() } });
    expect(body.data).toMatchObject({ allocationId: id, deviceId });
  });

  test('says by a header when a cooldown is over', async () => {
    const { id } = await granted();
    await extend(id, { additionalMinutes: 5 });
    const { status, headers } = await extend(id, { additionalMinutes: 5 });
    expect(status).toBe(429);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(60);
  });

  test('is for the holder, an admin of the tenant and a service; for others there is no such allocation', async () => {
    const { id } = await granted('ann', 'enterprise');
    const statusAs = async (as: Record<string, string>) => (await extend(id, { additionalMinutes: 1 }, as)).status;
    expect(await statusAs(await asUser('eve'))).toBe(404);
    expect(await statusAs(await asUser('boss', { roles: ['admin'], tenantId: 'other' }))).toBe(404);
    expect(await statusAs(await asUser('boss', { roles: ['admin'] }))).toBe(200);
    expect(await statusAs(await asService())).toBe(200);
    expect(await statusAs(await asUser('ann'))).toBe(200);
    expect(await statusAs({})).toBe(401);
  });

  test('goes by the tier the allocation was made in, not by the token', async () => {
    const { id } = await granted('ann', 'free');
    const { body } = await extend(id, { additionalMinutes: 31 }, await asUser('ann', { tier: 'enterprise' }));
    expect(body).toMatchObject({ statusCode: 400, code: 'VALIDATION_FAILED', details: { max: 30 } });
  });

  test.each([
    [{}],
    [{ additionalMinutes: 0 }],
    [{ additionalMinutes: 1441 }],
    [{ additionalMinutes: '5' }],
    [{ additionalMinutes: 5, tier: 'vip' }],
    [{ additionalMinutes: 5, fence: 0 }],
  ])('does not take %j', async (said) => {
    const { status, body } = await extend(randomUUID(), said);
    expect([status, body.code]).toEqual([400, 'VALIDATION_FAILED']);
  });

  test('with the same Idempotency-Key extends once, at once or later', async () => {
    const { id, expiresAt } = await granted('ann', 'enterprise');
    const ann = await asUser('ann');
    const headers = { 'idempotency-key': 'again' };
    const answers = await Promise.all(Array.from({ length: 5 }, () => extend(id, { additionalMinutes: 10 }, ann, headers)));
    answers.push(await extend(id, { additionalMinutes: 10 }, ann, headers));
    expect(answers.map(({ status, body }) => [status, body.data?.newExpiresAt])).toEqual(answers.map(() => [200, plus(expiresAt, 10)]));
    expect(await bench.store.prisma.extension.count()).toBe(1);
    expect((await extend(id, { additionalMinutes: 11 }, ann, headers)).status).toBe(422);
  });
});

describe('POST /scheduler/allocations/batch/extend', () => {
  test('says of each what became of it, by the same rules as a single one', async () => {
    const mine = await granted('ann');
    const full = await granted('ann');
    const others = await granted('eve');
    const unknown = randomUUID();
    await bench.store.prisma.allocation.update({ where: { id: full.id }, data: { extendCount: 5 } });
    const { status, body } = await api.call('POST', '/scheduler/allocations/batch/extend', {
      as: await asUser('ann'),
      body: { allocationIds: [mine.id, full.id, others.id, unknown, mine.id], additionalMinutes: 15 },
    });
    expect(status).toBe(200);
    const success = { allocationId: mine.id, oldExpiresAt: mine.expiresAt, newExpiresAt: plus(mine.expiresAt, 15), additionalMinutes: 15 };
    expect(body.data).toEqual({
      successCount: 2,
      failedCount: 3,
      totalCount: 5,
      successes: Array.from({ length: 2 }, () => ({ ...success, extendCount: 1, remainingExtends: 4, totalDurationMinutes: 45 })),
      failures: [
        { allocationId: full.id, code: 'EXTEND_COUNT_REACHED', reason: expect.any(String), details: expect.any(Object) },
        { allocationId: others.id, code: 'ALLOCATION_NOT_FOUND', reason: expect.any(String) },
        { allocationId: unknown, code: 'ALLOCATION_NOT_FOUND', reason: expect.any(String) },
      ],
      executionTimeMs: expect.any(Number),
    });
    expect(await bench.store.prisma.extension.count()).toBe(1);
  });

  test('names the item that is malformed, and takes fifty at most', async () => {
    const as = await asUser('ann');
    const send = (allocationIds: string[]) =>
      api.call('POST', '/scheduler/allocations/batch/extend', { as, body: { allocationIds, additionalMinutes: 5 } });
    expect((await send([randomUUID(), 'one'])).body).toMatchObject({ statusCode: 400, details: { field: 'allocationIds[1]' } });
    expect((await send(Array.from({ length: 51 }, () => randomUUID()))).body).toMatchObject({
      statusCode: 400,
      details: { field: 'allocationIds' },
    });
    expect((await send([])).status).toBe(400);
    expect((await send(Array.from({ length: 50 }, () => randomUUID()))).body.data).toMatchObject({ failedCount: 50 });
  });

  test('with the same Idempotency-Key extends once', async () => {
    const held = [await granted('ann', 'enterprise'), await granted('ann', 'enterprise')];
    const body = { allocationIds: held.map(({ id }) => id), additionalMinutes: 15 };
    const call = { as: await asUser('ann'), body, headers: { 'idempotency-key': 'many' } };
    const [first, second] = [
      await api.call('POST', '/scheduler/allocations/batch/extend', call),
      await api.call('POST', '/scheduler/allocations/batch/extend', call),
    ];
    expect(first.body.data).toMatchObject({ successCount: 2 });
    expect(second.text).toBe(first.text);
    expect(await bench.store.prisma.extension.count()).toBe(2);
  });
});

describe('GET …/extend-info', () => {
  const info = async (id: string, user = 'ann') => api.call('GET', `/scheduler/allocations/${id}/extend-info`, { as: await asUser(user) });

  test('says what is left and what was', async () => {
    const { id, expiresAt } = await granted('ann', 'vip');
    expect((await info(id)).body.data).toEqual({ canExtend: true, remainingExtends: 10, maxTotalMinutes: 1440, extendHistory: [] });
    await extend(id, { additionalMinutes: 60, reason: 'long film' });
    const { lastExtendedAt } = await rowOf(id);
    expect((await info(id)).body.data).toEqual({
      canExtend: false,
      cannotExtendReason: 'EXTEND_COOLDOWN',
      remainingExtends: 9,
      maxTotalMinutes: 1440,
      nextExtendAvailableAt: new Date((lastExtendedAt?.getTime() ?? 0) + 60_000).toISOString(),
      extendHistory: [
        {
          additionalMinutes: 60,
          oldExpiresAt: expiresAt,
          newExpiresAt: plus(expiresAt, 60),
          automatic: false,
          reason: 'long film',
          extendedAt: lastExtendedAt?.toISOString(),
          extendedBy: 'user:ann',
        },
      ],
    });
  });

  test('says from when on, that it is over, and that there is no limit', async () => {
    const early = await granted('ann', 'standard', 120);
    expect((await info(early.id)).body.data).toMatchObject({
      canExtend: false,
      cannotExtendReason: 'EXTEND_TOO_EARLY',
      nextExtendAvailableAt: plus(early.expiresAt, -60),
    });
    const rich = await granted('ann', 'enterprise');
    expect((await info(rich.id)).body.data).toMatchObject({ canExtend: true, remainingExtends: -1, maxTotalMinutes: -1 });
    await api.call('POST', '/scheduler/devices/release', { as: await asUser('ann'), body: { allocationId: rich.id } });
    expect((await info(rich.id)).body.data).toMatchObject({ canExtend: false, cannotExtendReason: 'ALLOCATION_ENDED' });
  });

  test('knows nothing of what belongs to somebody else', async () => {
    const { id } = await granted();
    expect((await info(id, 'eve')).body).toMatchObject({ statusCode: 404, code: 'ALLOCATION_NOT_FOUND' });
    expect((await info(randomUUID())).status).toBe(404);
  });
});

describe('an extension that no worker takes', () => {
  test('is taken back: its caller is told to ask again, and nothing is extended later', async () => {
    const idle = await openApiBench();
    try {
      const server = await idle.start();
      const { id, expiresAt } = await hold(idle);
      const call = { as: await asUser('ann'), body: { additionalMinutes: 10 }, headers: { 'idempotency-key': 'once' } };
      const { status, body, headers } = await server.call('PUT', `/scheduler/allocations/${id}/extend`, call);
      expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'QUEUE_UNAVAILABLE', '1']);
      await idle.startWorkers();
      const again = await server.call('PUT', `/scheduler/allocations/${id}/extend`, call);
      expect(again.body.data).toMatchObject({ oldExpiresAt: expiresAt, newExpiresAt: plus(expiresAt, 10), extendCount: 1 });
      expect(await idle.store.prisma.extension.count()).toBe(1);
    } finally {
      await idle.close();
    }
  });

  /** An enterprise allocation of ann, so that no cooldown could hide a second extension. */
  async function hold({ store, addDevices }: ApiBench): Promise<{ id: string; expiresAt: string }> {
    const [deviceId = ''] = await addDevices(1);
    const id = randomUUID();
    const allocatedAt = new Date();
    const expiresAt = plus(allocatedAt.toISOString(), 30);
    const size = { cpuCores: 4, memoryMb: 4096, storageMb: 65_536 };
    const held = { id, requestId: randomUUID(), deviceId, deviceName: 'phone', userId: 'ann', tier: 'enterprise', fence: 1n };
    await store.prisma.allocation.create({
      data: { ...held, ...size, strategy: 'resource_based', durationMinutes: 30, allocatedAt, expiresAt },
    });
    await store.prisma.device.update({ where: { id: deviceId }, data: { allocationId: id, fence: 1n } });
    return { id, expiresAt };
  }
});
