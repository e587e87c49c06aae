import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createLogger } from '../../shared/logger.ts';
import { closeRedis, createRedis, whenReady } from '../../shared/run/redis.ts';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { startPrivateRedis } from '../support/private-redis.ts';
import { createTestPrefix, redisUrl } from '../support/redis.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

let bench: ApiBench;
let api: ApiServer;
const open: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
});
afterAll(() => bench.close());
afterEach(async () => {
  for (const part of open.splice(0).toReversed()) await part.close();
});

async function behind(target: string): Promise<{ proxy: TcpProxy; url: string }> {
  const proxy = await startTcpProxy(new URL(target));
  open.push(proxy);
  return { proxy, url: Object.assign(new URL(target), { host: `127.0.0.1:${proxy.port}` }).href };
}

async function start(changes: Parameters<ApiBench['start']>[0]): Promise<ApiServer> {
  const server = await bench.start(changes);
  open.push(server);
  return server;
}

const allocate = async (server: ApiServer, body: object = {}, headers: Record<string, string> = {}) =>
  server.call('POST', '/scheduler/devices/allocate', { as: await asUser('ann'), body: { userId: 'ann', ...body }, headers });

describe('the API without Redis', () => {
  test('keeps a request as a row and answers 202 at once; the rest of it goes on', async () => {
    const { proxy, url } = await behind(redisUrl());
    const server = await start({ redisUrl: url });
    proxy.cut();

    const key = randomUUID();
    const { status, body, headers } = await allocate(server, {}, { 'idempotency-key': key });

    expect(status).toBe(202);
    expect(body.data.status).toBe('pending');
    expect(await bench.store.prisma.request.findUniqueOrThrow({ where: { id: body.data.requestId } })).toMatchObject({ status: 'pending' });
    expect((await server.call('GET', headers.get('location') ?? '', { as: await asUser('ann') })).status).toBe(200);
    expect((await allocate(server, {}, { 'idempotency-key': key })).headers.get('idempotency-replayed')).toBe('true');
  });

  test('lists devices from the database and changes the fleet', async () => {
    const { proxy, url } = await behind(redisUrl());
    const server = await start({ redisUrl: url });
    const as = await asService();
    await bench.addDevices(2);
    proxy.cut();

    const { status, headers, body } = await server.call('GET', '/scheduler/devices/available', { as });
    expect([status, headers.get('x-cache'), body.data.total]).toEqual([200, 'MISS', 2]);
    expect((await server.call('DELETE', `/scheduler/devices/${body.data.items[0].id}`, { as })).status).toBe(200);
  });

  test('says that a release cannot be handed over', async () => {
    const { proxy, url } = await behind(redisUrl());
    const server = await start({ redisUrl: url });
    proxy.cut();

    const { body, headers } = await server.call('POST', '/scheduler/devices/release', {
      as: await asUser('ann'),
      body: { allocationId: randomUUID() },
    });
    expect(body).toMatchObject({ statusCode: 503, code: 'QUEUE_UNAVAILABLE' });
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  });
});

describe('the API with a queue that takes nothing more', () => {
  test('refuses while Redis is 70 % full, with a time to come back, and keeps nothing', async () => {
    const full = await startPrivateRedis('--maxmemory', '40mb', '--maxmemory-policy', 'noeviction');
    open.push({ close: full.kill });
    const server = await start({ redisUrl: full.address.url });
    const redis = createRedis('producer', full.address, createLogger('test', 'silent'));
    open.push({ close: async () => closeRedis(redis) });
    await whenReady(redis, 30_000);
    for (let part = 0; part < 30; part += 1) await redis.set(`ballast ${part}`, 'x'.repeat(1_000_000));

    // How full it is is looked at in the background, while somebody asks.
    const refused = await eventually(async () => {
      const answer = await allocate(server, { waitMs: 0 });
      expect(answer.body).toMatchObject({ statusCode: 503, code: 'OVERLOADED', details: { max: 0.7 } });
      return answer;
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    const before = await bench.store.prisma.request.count();
    expect((await allocate(server, { waitMs: 0 })).status).toBe(503);
    expect(await bench.store.prisma.request.count()).toBe(before);
  });

  test('takes as many as there is room for, and keeps no row of the rest', async () => {
    const { prefix, clean } = createTestPrefix();
    open.push({ close: clean });
    const server = await start({ maxWaitingJobs: 1, prefix });
    expect((await allocate(server, { waitMs: 0 })).status).toBe(202);
    const before = await bench.store.prisma.request.count();
    // How many wait is known for a moment: the first of these are refused by the queue, when their rows are there already.
    for (let asked = 0; asked < 5; asked += 1) {
      const { body, headers } = await allocate(server, { waitMs: 0 });
      expect(body).toMatchObject({ statusCode: 503, code: 'OVERLOADED' });
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    }
    expect(await bench.store.prisma.request.count()).toBe(before);
  });
});

describe('the API without Postgres', () => {
  test('answers 503 with a time to come back, still knows who may ask, and recovers', async () => {
    const { proxy, url } = await behind(bench.databaseUrl);
    const server = await start({ databaseUrl: url });
    proxy.cut();

    for (const [method, path, body] of [
      ['GET', '/scheduler/allocations', undefined],
      ['GET', `/scheduler/requests/${randomUUID()}`, undefined],
      ['POST', '/scheduler/devices/allocate', { userId: 'ann' }],
    ] as const) {
      const answer = await server.call(method, path, { as: await asUser('ann'), body });
      expect([path, answer.status, answer.body.code]).toEqual([path, 503, 'STORE_UNAVAILABLE']);
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(answer.text).not.toMatch(/postgres|ECONN|prisma/i);
    }
    expect((await server.call('GET', '/scheduler/allocations')).status).toBe(401);
    proxy.restore();
    await eventually(async () =>
      expect((await server.call('GET', '/scheduler/allocations', { as: await asUser('ann') })).status).toBe(200),
    );
  });
});

describe('the API when the message about an outcome is lost', () => {
  const pending = (durationMinutes: number) =>
    eventually(() =>
      bench.store.prisma.request.findFirstOrThrow({
        where: { status: 'pending', asked: { path: ['durationMinutes'], equals: durationMinutes } },
      }),
    );

  test('finds a refusal in its row', async () => {
    const asking = allocate(api, { waitMs: 20_000, durationMinutes: 10 });
    const { id } = await pending(10);
    const details = { reason: 'maxDevices is 1', details: { limit: 'maxDevices' } };
    await bench.store.prisma.request.update({
      where: { id },
      data: { status: 'refused', code: 'QUOTA_EXCEEDED', details, decidedAt: new Date() },
    });
    expect((await asking).body).toMatchObject({ statusCode: 403, code: 'QUOTA_EXCEEDED', details: { limit: 'maxDevices', requestId: id } });
  });

  test('tells a request that was cancelled or timed out meanwhile', async () => {
    for (const [status, code, minutes] of [
      ['cancelled', 'REQUEST_CANCELLED', 11],
      ['timed_out', 'REQUEST_TIMED_OUT', 12],
    ] as const) {
      const asking = allocate(api, { waitMs: 20_000, durationMinutes: minutes });
      const { id } = await pending(minutes);
      await bench.store.prisma.request.update({ where: { id }, data: { status, decidedAt: new Date() } });
      expect((await asking).body).toMatchObject({ statusCode: 409, code });
    }
  });

  test('finds the end of an allocation in its row, or asks the caller to ask again', async () => {
    const [deviceId = ''] = await bench.addDevices(1);
    const id = randomUUID();
    const startedAt = new Date(Date.now() - 60_000);
    await bench.store.prisma.allocation.create({
      data: {
        id,
        requestId: randomUUID(),
        deviceId,
        deviceName: 'd',
        userId: 'ann',
        tier: 'standard',
        strategy: 'resource_based',
        fence: 1n,
        durationMinutes: 60,
        cpuCores: 1,
        memoryMb: 1,
        storageMb: 1,
        allocatedAt: startedAt,
        expiresAt: new Date(Date.now() + 60_000),
      },
    });
    const release = async () => api.call('POST', '/scheduler/devices/release', { as: await asUser('ann'), body: { allocationId: id } });

    expect((await release()).body).toMatchObject({ statusCode: 503, code: 'QUEUE_UNAVAILABLE' });
    await bench.store.prisma.allocation.update({
      where: { id },
      data: { status: 'released', endedAt: new Date(startedAt.getTime() + 30_000), endReason: 'released' },
    });
    expect((await release()).body.data).toMatchObject({ allocationId: id, deviceId, durationSeconds: 30, endReason: 'released' });
  });
});
