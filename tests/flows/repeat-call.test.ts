import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { QUEUES } from '../../queues/names.ts';
import { claimKey } from '../../shared/store/idempotency.ts';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench, quotaOf } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { redisUrl } from '../support/redis.ts';

const quotas = new Map([['poor', quotaOf(0)]]);

let bench: ApiBench;
let api: ApiServer;
let other: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  other = await bench.start();
  await bench.startWorkers(quotas);
  await bench.addDevices(20);
});
afterAll(() => bench.close());

const ALLOCATE = '/scheduler/devices/allocate';

async function allocate(server: ApiServer, userId: string, key: string, body: object = {}) {
  return server.call('POST', ALLOCATE, {
    as: await asUser(userId),
    body: { userId, waitMs: 30_000, ...body },
    headers: { 'idempotency-key': key },
  });
}

const live = (userId: string) => bench.store.prisma.allocation.count({ where: { userId, status: 'allocated' } });

describe('Idempotency-Key', () => {
  test('gives the first outcome again, word for word', async () => {
    const key = randomUUID();
    const first = await allocate(api, 'ann', key);
    const second = await allocate(other, 'ann', key, { durationMinutes: 60 });

    expect(first.status).toBe(201);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(second.status).toBe(201);
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(second.text).toBe(first.text);
    expect(await live('ann')).toBe(1);
  });

  test('replays refusals too', async () => {
    const key = randomUUID();
    const first = await allocate(api, 'poor', key);
    const second = await allocate(api, 'poor', key);

    expect(first.status).toBe(403);
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(second.text).toBe(first.text);
    expect(await bench.store.prisma.request.count({ where: { userId: 'poor' } })).toBe(1);
  });

  test('keeps the place to look of an answer that is not there yet', async () => {
    const key = randomUUID();
    const first = await allocate(api, 'bob', key, { waitMs: 0 });
    const second = await allocate(api, 'bob', key, { waitMs: 0 });

    expect(second.status).toBe(202);
    expect(second.headers.get('location')).toBe(first.headers.get('location'));
  });

  test('says of how long to wait what is left of it', async () => {
    const { allocationId } = (await allocate(api, 'ned', randomUUID(), { durationMinutes: 30 })).body.data;
    const extend = async (key: string) =>
      api.call('PUT', `/scheduler/allocations/${allocationId}/extend`, {
        as: await asUser('ned'),
        body: { additionalMinutes: 5 },
        headers: { 'idempotency-key': key },
      });
    const key = randomUUID();
    await extend(randomUUID());
    const first = await extend(key);
    expect(first.body).toMatchObject({ statusCode: 429, code: 'EXTEND_COOLDOWN' });
    const wait = Number(first.headers.get('retry-after'));
    expect(wait).toBeGreaterThan(100);

    const repeatAfter = async (seconds: number) => {
      await bench.store.prisma
        .$executeRaw`UPDATE idempotency_keys SET answered_at = now() - make_interval(secs => ${seconds}) WHERE key = ${key}`;
      const { headers, text } = await extend(key);
      expect([headers.get('idempotency-replayed'), text]).toEqual(['true', first.text]);
      return Number(headers.get('retry-after'));
    };
    expect(await extend(key).then(({ headers }) => Number(headers.get('retry-after')))).toBeLessThanOrEqual(wait);
    const left = await repeatAfter(60);
    expect(left).toBeLessThanOrEqual(wait - 59);
    expect(left).toBeGreaterThan(wait - 90);
    expect(await repeatAfter(3_600)).toBe(1);
  });

  test('lets the second of two who ask at once wait for the first, over processes', async () => {
    const key = randomUUID();
    const answers = await Promise.all([api, other, api, other, api, other].map((server) => allocate(server, 'cyd', key)));

    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
    expect(await live('cyd')).toBe(1);
  });

  test('refuses the key for another body and for another route', async () => {
    const key = randomUUID();
    await allocate(api, 'dan', key);

    expect((await allocate(api, 'dan', key, { durationMinutes: 61 })).body).toMatchObject({
      statusCode: 422,
      code: 'IDEMPOTENCY_KEY_REUSED',
    });
    const release = await api.call('POST', '/scheduler/devices/release', {
      as: await asUser('dan'),
      body: { allocationId: randomUUID() },
      headers: { 'idempotency-key': key },
    });
    expect(release.status).toBe(422);
  });

  test('belongs to its caller', async () => {
    const key = randomUUID();
    const [first, second] = [await allocate(api, 'fay', key), await allocate(api, 'gil', key)];
    expect(second.status).toBe(201);
    expect(second.body.data.allocationId).not.toBe(first.body.data.allocationId);
  });

  test('must have 1..255 characters', async () => {
    for (const key of ['', 'x'.repeat(256)]) {
      expect((await allocate(api, 'ann', key)).body).toMatchObject({ statusCode: 400, code: 'IDEMPOTENCY_KEY_INVALID' });
    }
    expect((await allocate(api, 'hal', 'x'.repeat(255))).status).toBe(201);
  });

  test('is taken over from a process that died, and asks for the same thing', async () => {
    const key = randomUUID();
    const first = await allocate(api, 'ivy', key);
    // As if the process had died between the grant and its answer.
    await bench.store.prisma.idempotencyKey.updateMany({
      where: { key },
      data: { statusCode: null, body: null, lockedUntil: new Date(Date.now() + 500) },
    });

    const second = await allocate(other, 'ivy', key);

    expect(second.status).toBe(201);
    expect(second.headers.get('idempotency-replayed')).toBeNull();
    expect(second.body.data.allocationId).toBe(first.body.data.allocationId);
    expect(await live('ivy')).toBe(1);
  });

  test('is taken over from a process that died after a release, whoever holds the device now', async () => {
    const { deviceId, allocationId } = (await allocate(api, 'lou', randomUUID())).body.data;
    const key = randomUUID();
    const release = async (server: ApiServer) =>
      server.call('POST', '/scheduler/devices/release', { as: await asService(), body: { deviceId }, headers: { 'idempotency-key': key } });
    const first = await release(api);
    expect(first.body.data).toMatchObject({ allocationId });
    const next = await allocate(api, 'mia', randomUUID(), { devicePreferences: { deviceId } });
    expect(next.body.data).toMatchObject({ deviceId, fence: 2 });
    // As if the process had died between the release and its answer.
    await bench.store.prisma.idempotencyKey.updateMany({
      where: { key },
      data: { statusCode: null, body: null, lockedUntil: new Date(0) },
    });

    const second = await release(other);

    expect(second.headers.get('idempotency-replayed')).toBeNull();
    expect(second.body.data).toEqual(first.body.data);
    expect(await live('mia')).toBe(1);
  });

  test('is not kept by a call that failed on our side', async () => {
    const key = randomUUID();
    const full = await bench.start({ maxWaitingJobs: 0 });
    expect((await allocate(full, 'jon', key)).status).toBe(503);
    await full.close();

    const again = await allocate(api, 'jon', key);
    expect(again.status).toBe(201);
    expect(again.headers.get('idempotency-replayed')).toBeNull();
  });

  test('does not keep the answer that a neighbour is away: asked again, it asks anew', async () => {
    const key = randomUUID();
    quotas.set('kim', { kind: 'unavailable', reason: 'the user-service does not answer' });
    const first = await allocate(api, 'kim', key);
    quotas.delete('kim');
    const second = await allocate(api, 'kim', key);

    expect(first.body).toMatchObject({ statusCode: 503, code: 'QUOTA_UNAVAILABLE' });
    expect(Number(first.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(second.status).toBe(201);
  });

  test('asks for the same thing again after a fault that hid what had become of it', async () => {
    const key = randomUUID();
    const jobs = new Queue(QUEUES.allocate, { connection: { url: redisUrl() }, prefix: bench.prefix });
    await jobs.pause();
    const asking = allocate(api, 'liv', key, { waitMs: 30_000 });
    const requests = () => bench.store.prisma.request.findMany({ where: { userId: 'liv' }, select: { id: true } });
    const written = await eventually(async () => {
      const rows = await requests();
      expect(rows).toHaveLength(1);
      return rows;
    });
    // It is written, and cannot be read any more.
    await bench.store.transaction(async (tx) => {
      await tx.$executeRaw`LOCK TABLE requests IN ACCESS EXCLUSIVE MODE`;
      expect((await asking).body).toMatchObject({ statusCode: 503, code: 'STORE_UNAVAILABLE' });
    });
    await jobs.resume();
    await jobs.close();

    const again = await allocate(other, 'liv', key, { waitMs: 30_000 });
    expect([again.status, await live('liv'), await requests()]).toEqual([201, 1, written]);
  }, 120_000);

  test('stays with the call that renews it, and falls to the next when it runs out', async () => {
    const call = { caller: 'user:lea', key: randomUUID(), route: 'POST /x', bodyHash: 'a' };
    expect(await claimKey(bench.store, call, 30)).toMatchObject({ kind: 'mine' });
    expect(await claimKey(bench.store, call, 30)).toEqual({ kind: 'running' });
    await bench.store.prisma.idempotencyKey.updateMany({ where: { key: call.key }, data: { lockedUntil: new Date(0) } });
    expect(await claimKey(bench.store, call, 30)).toMatchObject({ kind: 'mine' });
    expect(await claimKey(bench.store, { ...call, bodyHash: 'b' }, 30)).toEqual({ kind: 'reused' });
  });

  test('compares the whole of an import, line by line', async () => {
    const line = JSON.stringify({
      id: randomUUID(),
      name: 'd',
      type: 'phone',
      status: 'running',
      providerType: 'redroid',
      cpuCores: 1,
      memoryMB: 1,
      storageMB: 1,
    });
    const key = randomUUID();
    const send = async (raw: string) =>
      api.call('POST', '/scheduler/devices/import', {
        as: await asService(),
        raw,
        headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': key },
      });

    const first = await send(`${line}\n`);
    const second = await send(`${line}\n`);
    const third = await send(`${line}\n\n`);

    expect(first.body.data).toMatchObject({ received: 1, created: 1 });
    expect(second.text).toBe(first.text);
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(third.status).toBe(422);
  });
});
