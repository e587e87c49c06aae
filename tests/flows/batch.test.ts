import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench, quotaOf } from '../support/api-bench.ts';
import { countStatements, type StatementCounter } from '../support/count-statements.ts';
import { eventually } from '../support/eventually.ts';
import { readInvariants } from '../support/invariants.ts';

const quotas = new Map([
  ['poor', quotaOf(0)],
  ['single', quotaOf(1)],
]);
const ALLOCATE = '/scheduler/allocations/batch';
const EXTEND = '/scheduler/allocations/batch/extend';
const RELEASE = '/scheduler/allocations/batch/release';
const QUERY = '/scheduler/allocations/batch/query';

let counter: StatementCounter;
let bench: ApiBench;
let api: ApiServer;
let service: Record<string, string>;

beforeAll(async () => {
  counter = await countStatements(process.env['DATABASE_URL'] ?? '');
  bench = await openApiBench(counter.through);
  api = await bench.start();
  await bench.startWorkers(quotas);
  service = await asService();
});
afterAll(async () => {
  await bench.close();
  await counter.close();
});
beforeEach(async () => {
  await bench.store.transaction(
    (tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, idempotency_keys CASCADE`,
  );
});

const users = (count: number) => Array.from({ length: count }, (_, index) => `user-${index}`);
const forEach = (userIds: readonly string[], wish: object = {}) => userIds.map((userId) => ({ userId, durationMinutes: 30, ...wish }));
const live = () => bench.store.prisma.allocation.count({ where: { status: 'allocated' } });
const send = (path: string, body: object, headers: Record<string, string> = {}, as = service) =>
  api.call('POST', path, { as, body, headers });

async function allocated(userIds: readonly string[]): Promise<string[]> {
  const { body } = await send(ALLOCATE, { requests: forEach(userIds) });
  return body.data.successes.map(({ allocationId }: { allocationId: string }) => allocationId);
}

describe('a batch of allocations', () => {
  test('says of each item what became of it, by the rules of a single one', async () => {
    await bench.addDevices(3);
    const requests = [
      ...forEach(['ann', 'poor', 'single', 'single']),
      { userId: 'eve', durationMinutes: 30, devicePreferences: { deviceType: 'tablet' } },
      ...forEach(['bob', 'late']),
    ];
    const { status, body } = await send(ALLOCATE, { requests });
    expect(status).toBe(200);
    expect(body.data).toEqual({
      successCount: 3,
      failedCount: 4,
      totalCount: 7,
      successes: ['ann', 'single', 'bob'].map((userId) => ({
        userId,
        allocationId: expect.any(String),
        deviceId: expect.any(String),
        deviceName: expect.any(String),
        expiresAt: expect.any(String),
      })),
      failures: [
        { userId: 'poor', code: 'QUOTA_EXCEEDED', reason: expect.any(String) },
        { userId: 'single', code: 'QUOTA_EXCEEDED', reason: expect.any(String) },
        { userId: 'eve', code: 'NO_MATCHING_DEVICE', reason: expect.any(String) },
        { userId: 'late', code: 'NO_DEVICE_AVAILABLE', reason: expect.any(String) },
      ],
      executionTimeMs: expect.any(Number),
    });
    const held = await bench.store.prisma.allocation.findMany({ where: { userId: 'ann' } });
    expect(held).toMatchObject([{ durationMinutes: 30, status: 'allocated' }]);
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  test('costs the database the same round trips whether it has five items or fifty', async () => {
    const counted = async (path: string, body: object) => {
      const before = counter.count();
      const answer = (await send(path, body)).body;
      return [answer, counter.count() - before] as const;
    };
    const roundOf = async (size: number) => {
      await bench.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox CASCADE`);
      await bench.addDevices(60);
      const [allocated, allocate] = await counted(ALLOCATE, { requests: forEach(users(size)) });
      const allocationIds = allocated.data.successes.map(({ allocationId }: { allocationId: string }) => allocationId);
      const [extended, extend] = await counted(EXTEND, { allocationIds, additionalMinutes: 5 });
      const [ended, release] = await counted(RELEASE, { allocationIds });
      expect([allocated, extended, ended].map(({ data }) => data.successCount)).toEqual([size, size, size]);
      const [, query] = await counted(QUERY, { userIds: users(size), activeOnly: false });
      return [allocate, extend, release, query];
    };
    const [few, many] = [Array(4).fill(Infinity), Array(4).fill(Infinity)];
    const note = (least: number[], counts: number[]) => {
      for (const [part, count] of counts.entries()) least[part] = Math.min(least[part] ?? count, count);
    };
    // The API notes every two seconds that it listens: one statement more for some part of some round.
    for (let round = 0; round < 8 && (round < 2 || few.join() !== many.join()); round += 1) {
      note(few, await roundOf(5));
      note(many, await roundOf(50));
    }
    expect(many).toEqual(few);
    // Allocate: BEGIN, users, facts, devices, grants, COMMIT and the answer. Extend: a look, BEGIN, locks, facts, ends, COMMIT.
    // Release: which are live, BEGIN, facts, ends, outbox, COMMIT, who waits, and the answer. A query is one.
    for (const statements of few.slice(0, 3)) expect(statements).toBeLessThanOrEqual(10);
    expect(few[3]).toBe(1);
  }, 120_000);

  test('that is atomic grants all or none, and is still a 200', async () => {
    await bench.addDevices(3);
    const none = await send(ALLOCATE, { requests: forEach(users(4)), atomic: true });
    expect(none.status).toBe(200);
    expect(none.body.data).toMatchObject({ successCount: 0, failedCount: 4, totalCount: 4, successes: [] });
    expect(none.body.data.failures.map(({ code }: { code: string }) => code).toSorted()).toEqual([
      'BATCH_ABORTED',
      'BATCH_ABORTED',
      'BATCH_ABORTED',
      'NO_DEVICE_AVAILABLE',
    ]);
    expect(await live()).toBe(0);
    expect((await send(ALLOCATE, { requests: forEach(['ann', 'poor']), atomic: true })).body.data.successCount).toBe(0);
    expect((await send(ALLOCATE, { requests: forEach(users(3)), atomic: true })).body.data.successCount).toBe(3);
    expect(await live()).toBe(3);
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  test('of ten atomic ones that ask at once for all devices, only one gets them', async () => {
    await bench.addDevices(5);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, round) =>
        send(ALLOCATE, { requests: forEach(users(5).map((user) => `${user}-of-${round % 3}`)), atomic: true }),
      ),
    );
    const counts = answers.map(({ body }) => body.data.successCount);
    expect(counts.toSorted()).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    expect(await live()).toBe(5);
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  test('stops at the first failure when it is not to go on', async () => {
    await bench.addDevices(5);
    const { body } = await send(ALLOCATE, { requests: forEach(['ann', 'poor', 'bob']), continueOnError: false });
    expect(body.data.successes.map(({ userId }: { userId: string }) => userId)).toEqual(['ann']);
    expect(body.data.failures.map(({ code }: { code: string }) => code)).toEqual(['QUOTA_EXCEEDED', 'BATCH_ABORTED']);
    expect(await live()).toBe(1);
  });

  test('under the same Idempotency-Key is one batch, also when two processes are asked at once', async () => {
    await bench.addDevices(20);
    const other = await bench.start();
    const headers = { 'idempotency-key': randomUUID() };
    const call = { as: service, body: { requests: forEach(users(10)) }, headers };
    const [first, second] = await Promise.all([api.call('POST', ALLOCATE, call), other.call('POST', ALLOCATE, call)]);
    const third = await api.call('POST', ALLOCATE, call);
    expect(second.text).toBe(first.text);
    expect(third.text).toBe(first.text);
    expect(await live()).toBe(10);
    await other.close();
  });

  test('that is not done in time is asked again under its key, and is then the same batch', async () => {
    await bench.addDevices(2);
    const key = randomUUID();
    const call = { as: service, body: { requests: forEach(['ann', 'bob']) }, headers: { 'idempotency-key': key } };
    const first = await api.call('POST', ALLOCATE, call);
    // As the process leaves it behind that gave up waiting.
    await bench.store.prisma
      .$executeRaw`UPDATE idempotency_keys SET status_code = NULL, body = NULL, headers = NULL, locked_until = now() WHERE key = ${key}`;
    const second = await api.call('POST', ALLOCATE, call);
    expect(second.body.data.successes).toEqual(first.body.data.successes);
    expect(await live()).toBe(2);
  });

  test('names the item that is not valid', async () => {
    const wrong = [...forEach(['ann']), { userId: '', durationMinutes: 30 }];
    expect((await send(ALLOCATE, { requests: wrong })).body).toMatchObject({
      statusCode: 400,
      code: 'VALIDATION_FAILED',
      details: { field: 'requests[1].userId' },
    });
    const long = [...forEach(['ann']), { userId: 'bob', durationMinutes: 1_441, wheels: 4 }];
    expect((await send(ALLOCATE, { requests: long })).body.details.fields).toEqual(
      expect.arrayContaining(['requests[1].durationMinutes', 'requests[1].wheels']),
    );
    for (const requests of [[], forEach(users(51))]) expect((await send(ALLOCATE, { requests })).status).toBe(400);
  });

  test('is for oneself, for an admin’s tenant, for everybody', async () => {
    await bench.addDevices(5);
    const post = async (as: Record<string, string>, requests: object[]) => (await send(ALLOCATE, { requests }, {}, as)).body;
    const ann = await asUser('ann', { tenantId: 't1' });
    expect(await post(ann, forEach(['ann', 'bob']))).toMatchObject({ statusCode: 403, details: { field: 'requests[1].userId' } });
    expect(await post(ann, forEach(['ann'], { userTier: 'vip' }))).toMatchObject({
      statusCode: 403,
      details: { field: 'requests[0].userTier' },
    });
    expect((await post(ann, forEach(['ann']))).data.successCount).toBe(1);
    const admin = await asUser('eve', { roles: ['admin'], tenantId: 't2' });
    expect(await post(admin, forEach(['newcomer', 'ann']))).toMatchObject({ statusCode: 403, details: { field: 'requests[1].userId' } });
    expect((await post(admin, forEach(['newcomer']))).data.successCount).toBe(1);
    expect((await post(service, forEach(['ann'], { tenantId: 't1' }))).data.successCount).toBe(1);
    expect(await live()).toBe(3);
  });

  test('counts as a batch', async () => {
    const limited = await bench.start({ rateLimits: { batch: 1, write: 1e6 } });
    const as = await asUser('counted');
    const query = () => limited.call('POST', QUERY, { as, body: { userIds: ['counted'] } });
    expect((await query()).status).toBe(200);
    expect((await query()).body).toMatchObject({ statusCode: 429, details: { limit: 'batch' } });
    await limited.close();
  });
});

describe('a batch of releases', () => {
  test('ends each once, says how, and names the unknown ones', async () => {
    await bench.addDevices(5);
    const ids = await allocated(users(5));
    const unknown = randomUUID();
    const { status, body } = await send(RELEASE, { allocationIds: [...ids, unknown], reason: 'done' });
    expect(status).toBe(200);
    expect(body.data).toMatchObject({ successCount: 5, failedCount: 1, totalCount: 6 });
    expect(body.data.successes[0]).toEqual({
      allocationId: ids[0],
      deviceId: expect.any(String),
      durationSeconds: expect.any(Number),
      endReason: 'batch_released',
    });
    expect(body.data.failures).toEqual([{ allocationId: unknown, code: 'ALLOCATION_NOT_FOUND', reason: expect.any(String) }]);
    expect(await bench.store.prisma.ledgerEntry.count({ where: { endReason: 'batch_released' } })).toBe(5);
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  test('asked twice gives the same answer and one bill each, also at once with single releases', async () => {
    await bench.addDevices(20);
    for (let round = 0; round < 10; round += 1) {
      const ids = await allocated(users(10));
      const single = (allocationId: string) => api.call('POST', '/scheduler/devices/release', { as: service, body: { allocationId } });
      const [first, second] = await Promise.all([
        send(RELEASE, { allocationIds: ids }),
        send(RELEASE, { allocationIds: ids.toReversed() }),
        ...ids.map(single),
      ]);
      expect(first?.body.data.successCount).toBe(10);
      expect(second?.body.data.successes.toReversed()).toEqual(first?.body.data.successes);
      expect((await send(RELEASE, { allocationIds: ids })).body.data.successes).toEqual(first?.body.data.successes);
    }
    expect(await bench.store.prisma.ledgerEntry.count()).toBe(100);
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  test('does not see what belongs to somebody else', async () => {
    await bench.addDevices(3);
    const [own = '', other = ''] = await allocated(['ann', 'bob']);
    const { body } = await send(RELEASE, { allocationIds: [own, other] }, {}, await asUser('ann'));
    expect(body.data.successes).toMatchObject([{ allocationId: own }]);
    expect(body.data.failures).toMatchObject([{ allocationId: other, code: 'ALLOCATION_NOT_FOUND' }]);
    const admin = await asUser('eve', { roles: ['admin'], tenantId: 't9' });
    expect((await send(RELEASE, { allocationIds: [other] }, {}, admin)).body.data.failedCount).toBe(1);
    expect(await live()).toBe(1);
  });
});

describe('a batch query', () => {
  test('lists what each user holds, or held', async () => {
    await bench.addDevices(3);
    const [first = ''] = await allocated(['ann', 'ann', 'bob']);
    await send(RELEASE, { allocationIds: [first] });
    const query = async (body: object, as = service) => (await send(QUERY, body, {}, as)).body.data?.allocations;
    const active = await query({ userIds: ['ann', 'bob', 'nobody'] });
    expect(Object.keys(active)).toEqual(['ann', 'bob', 'nobody']);
    expect([active.ann.length, active.bob.length, active.nobody.length]).toEqual([1, 1, 0]);
    expect(active.ann[0]).toMatchObject({ userId: 'ann', status: 'allocated', endedAt: null });
    const all = await query({ userIds: ['ann'], activeOnly: false });
    expect(all.ann).toHaveLength(2);
    expect((await send(QUERY, { userIds: ['ann', 'bob'] }, {}, await asUser('ann'))).status).toBe(403);
    expect((await query({ userIds: ['ann'] }, await asUser('ann'))).ann).toHaveLength(1);
  });
});

describe('a batch whose worker is away', () => {
  test('is answered once the worker is there, and granted once', async () => {
    const alone = await openApiBench();
    try {
      const server = await alone.start();
      await alone.addDevices(3);
      const asking = server.call('POST', ALLOCATE, { as: service, body: { requests: forEach(['ann', 'bob']), atomic: true } });
      await eventually(async () => expect(await alone.redis.zcard(`${alone.prefix}:allocate:prioritized`)).toBe(1));
      expect(await alone.store.prisma.request.count()).toBe(0);
      await alone.startWorkers();
      expect((await asking).body.data.successCount).toBe(2);
      expect(await alone.store.prisma.allocation.count()).toBe(2);
    } finally {
      await alone.close();
    }
  });
});
