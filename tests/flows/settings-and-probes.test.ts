import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startUserService } from '../../dev/stand-ins/user-service.ts';
import { createBreakerBoard, readBreakerBoard } from '../../shared/clients/breaker-board.ts';
import { createQuotaClient } from '../../shared/clients/quota-client.ts';
import { createLogger } from '../../shared/logger.ts';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { ENOUGH_MS, openCaller, SERVICE_SECRET } from '../support/neighbours.ts';
import { redisUrl } from '../support/redis.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

let bench: ApiBench;
let api: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
});
afterAll(() => bench.close());

describe('settings', () => {
  const choose = async (strategy: string) =>
    (await api.call('POST', '/scheduler/allocations/strategy', { as: await asService(), body: { strategy } })).body;

  test('a strategy is stored and shown', async () => {
    const config = async (as: Record<string, string>) => (await api.call('GET', '/scheduler/config', { as })).body.data;
    const before = await config(await asUser('eve', { roles: ['admin'] }));
    expect(before).toEqual({ allocation_strategy: 'resource_based', settings: { PORT: 0 } });

    expect(await choose('round_robin')).toMatchObject({ success: true, data: { strategy: 'round_robin' } });
    expect((await config(await asService())).allocation_strategy).toBe('round_robin');
    expect((await api.call('GET', '/scheduler/allocations/stats', { as: await asService() })).body.data.strategy).toBe('round_robin');
    expect(await choose('resource_based')).toMatchObject({ success: true, data: { strategy: 'resource_based' } });
  });

  test('a strategy that does not exist is refused by name', async () => {
    expect(await choose('dice')).toMatchObject({ statusCode: 400, details: { field: 'strategy' } });
  });

  test('ends what is due, and says how many', async () => {
    const [deviceId = ''] = await bench.addDevices(1);
    const id = randomUUID();
    const allocation = {
      deviceName: 'd',
      userId: 'ann',
      tier: 'standard',
      strategy: 'resource_based',
      durationMinutes: 1,
      cpuCores: 1,
      memoryMb: 1,
      storageMb: 1,
    };
    const past = (minutes: number) => new Date(Date.now() - minutes * 60_000);
    await bench.store.prisma.allocation.create({
      data: { ...allocation, id, requestId: randomUUID(), deviceId, fence: 1n, allocatedAt: past(5), expiresAt: past(1) },
    });
    await bench.store.prisma.device.update({ where: { id: deviceId }, data: { allocationId: id, fence: 1n } });
    const release = async () => (await api.call('POST', '/scheduler/allocations/release-expired', { as: await asService() })).body.data;

    expect(await release()).toEqual({ count: 1 });
    expect(await release()).toEqual({ count: 0 });
    expect(await bench.store.prisma.allocation.findUniqueOrThrow({ where: { id } })).toMatchObject({
      status: 'expired',
      endReason: 'expired',
    });
  });
});

describe('invariants', () => {
  test('are checked on request, and a broken one is named', async () => {
    await bench.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, ledger, outbox, users CASCADE`);
    const check = async () => (await api.call('GET', '/scheduler/invariants', { as: await asService() })).body.data;
    expect(await check()).toMatchObject({ ok: true });
    await bench.addDevices(1, { allocationId: randomUUID() });
    const { ok, checks } = await check();
    expect(ok).toBe(false);
    expect(checks.filter((one: { ok: boolean }) => !one.ok).length).toBeGreaterThan(0);
  });
});

describe('probes', () => {
  test('say that the process lives and what it stands on', async () => {
    expect((await api.call('GET', '/health')).body).toEqual({ status: 'ok' });
    const neighbours = { user: 'closed', billing: 'closed', notification: 'closed' };
    const expected = { status: 'ready', postgres: 'up', redis: 'up', rabbitmq: 'up', queue: 'up', neighbours };
    await eventually(async () => expect((await api.call('GET', '/ready')).body).toEqual(expected));
  });

  test('show the breakers of the neighbours, and stay ready', async () => {
    const service = await startUserService({ port: 0, secret: SERVICE_SECRET });
    const onBreaker = createBreakerBoard(bench.redis, bench.prefix, createLogger('test', 'silent'));
    const caller = openCaller('user', service.url, { retries: 0, onBreaker, tuning: { openMs: 400 } });
    const ask = (userId: string) => createQuotaClient(caller).fetchQuota(userId, { deadlineMs: ENOUGH_MS });
    service.control.fail({ kind: 'status', status: 500 });
    for (let call = 0; call < 10; call += 1) await ask(`u${call}`);
    await eventually(async () => {
      const { status, body } = await api.call('GET', '/ready');
      expect(status).toBe(200);
      expect(body).toMatchObject({ status: 'ready', neighbours: { user: expect.stringMatching(/open/), billing: 'closed' } });
    }, 15_000);
    service.control.heal();
    await eventually(async () => expect(await ask('ann')).toMatchObject({ kind: 'known' }), 15_000);
    await ready(api, { status: 'ready', neighbours: { user: 'closed' } });
    caller.close();
    await service.close();
  });

  test('show what any process complains of, whoever else is content', async () => {
    const [first, second] = [1, 2].map(() => createBreakerBoard(bench.redis, bench.prefix, createLogger('test', 'silent')));
    const seen = async () => (await readBreakerBoard(bench.redis, bench.prefix)).billing;
    first?.('billing', 'open');
    second?.('billing', 'half-open');
    expect(await seen()).toBe('open');
    first?.('billing', 'half-open');
    expect(await seen()).toBe('half-open');
    second?.('billing', 'closed');
    expect(await seen()).toBe('half-open');
    first?.('billing', 'closed');
    expect(await seen()).toBe('closed');
  });

  test('name what is away; without RabbitMQ the API is ready', async () => {
    const redis = await startTcpProxy(new URL(redisUrl()));
    const server = await bench.start({
      redisUrl: `redis://127.0.0.1:${redis.port}`,
      rabbitmqUrl: `amqp://127.0.0.1:${await closedPort()}`,
    });
    const withoutRabbitmq = { status: 200, body: { status: 'ready', redis: 'up', rabbitmq: 'down' } };
    await eventually(async () => expect(await server.call('GET', '/ready')).toMatchObject(withoutRabbitmq));
    redis.cut();
    await ready(server, { status: 'not_ready', postgres: 'up', redis: 'down', queue: 'down', neighbours: { user: 'unknown' } });
    redis.restore();
    await ready(server, { status: 'ready', redis: 'up', queue: 'up' });
    await redis.close();
    await server.close();
  });

  test('say that RabbitMQ is off when it is, and notice when it only pretends to be there', async () => {
    const silent = await startTcpProxy(new URL(redisUrl()));
    silent.stall();
    const off = await bench.start({ rabbitmqUrl: '' });
    const stuck = await bench.start({ rabbitmqUrl: `amqp://127.0.0.1:${silent.port}` });
    expect((await off.call('GET', '/ready')).body.rabbitmq).toBe('off');
    expect((await stuck.call('GET', '/ready')).body.rabbitmq).toBe('down');
    await silent.close();
    await off.close();
    await stuck.close();
  });

  test('metrics are for admins and services', async () => {
    expect((await api.call('GET', '/metrics')).status).toBe(401);
    const { text, status } = await api.call('GET', '/metrics', { as: await asService() });
    expect(status).toBe(200);
    expect(text).toContain('scheduler_http_seconds_count');
  });
});

/** A port nobody listens on. */
async function closedPort(): Promise<number> {
  const proxy = await startTcpProxy(new URL(redisUrl()));
  await proxy.close();
  return proxy.port;
}

/** Asks until the answer fits: probes are remembered for half a second, and a connection takes its time to come back. */
async function ready(server: ApiServer, expected: object): Promise<void> {
  await eventually(async () => expect((await server.call('GET', '/ready')).body).toMatchObject(expected), 15_000);
}
