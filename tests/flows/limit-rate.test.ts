import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { redisUrl } from '../support/redis.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

let bench: ApiBench;
let servers: ApiServer[] = [];

beforeAll(async () => {
  bench = await openApiBench();
});
afterAll(() => bench.close());
afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  servers = [];
  const keys = await bench.redis.keys(`${bench.prefix}:rate:*`);
  if (keys.length > 0) await bench.redis.del(...keys);
});

async function start(...changes: Parameters<ApiBench['start']>): Promise<ApiServer> {
  const server = await bench.start(...changes);
  servers.push(server);
  return server;
}

describe('rate limits', () => {
  test('count a user over all processes and say what is left', async () => {
    const rateLimits = { read: 4, serviceFactor: 100 };
    const pair = [await start({ rateLimits }), await start({ rateLimits })];
    const as = await asUser('ann');

    const left: string[] = [];
    for (let index = 0; index < 4; index += 1) {
      const { status, headers } = (await pair[index % 2]?.call('GET', '/scheduler/allocations', { as })) ?? {};
      expect(status).toBe(200);
      expect(headers?.get('x-ratelimit-limit')).toBe('4');
      expect(Number(headers?.get('x-ratelimit-reset'))).toBeGreaterThan(0);
      expect(Number(headers?.get('x-ratelimit-reset'))).toBeLessThanOrEqual(60);
      left.push(headers?.get('x-ratelimit-remaining') ?? '');
    }
    expect(left).toEqual(['3', '2', '1', '0']);

    for (const server of pair) {
      const { status, body, headers } = await server.call('GET', '/scheduler/devices/available', { as });
      expect(status).toBe(429);
      expect(body).toMatchObject({ code: 'RATE_LIMITED', details: { limit: 'read', max: 4 } });
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      expect(headers.get('x-ratelimit-remaining')).toBe('0');
    }
  });

  test('count exactly when many ask at once', async () => {
    const server = await start({ rateLimits: { read: 25 } });
    const as = await asUser('ann');
    const answers = await Promise.all(Array.from({ length: 60 }, () => server.call('GET', '/scheduler/devices/available', { as })));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(25);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(35);
  });

  test('are counted apart for reads, writes and batches, and for every user', async () => {
    const server = await start({ rateLimits: { read: 1, write: 1, batch: 1 } });
    const root = await asUser('root', { isSuperAdmin: true });
    const line = { raw: '', headers: { 'content-type': 'application/x-ndjson' } };
    expect((await server.call('GET', '/scheduler/config', { as: root })).status).toBe(200);
    expect((await server.call('POST', '/scheduler/allocations/release-expired', { as: root })).status).toBe(200);
    expect((await server.call('POST', '/scheduler/devices/import', { as: root, ...line })).status).toBe(200);
    expect((await server.call('POST', '/scheduler/devices/import', { as: root, ...line })).status).toBe(429);
    expect((await server.call('GET', '/scheduler/config', { as: await asUser('eve', { isSuperAdmin: true }) })).status).toBe(200);
  });

  test('give a service its multiple', async () => {
    const server = await start({ rateLimits: { read: 2, serviceFactor: 3 } });
    const { headers } = await server.call('GET', '/scheduler/config', { as: await asService() });
    expect(headers.get('x-ratelimit-limit')).toBe('6');
  });

  test('let everybody pass while Redis is away', async () => {
    const proxy = await startTcpProxy(new URL(redisUrl()));
    const server = await start({ rateLimits: { read: 1 }, redisUrl: `redis://127.0.0.1:${proxy.port}` });
    const as = await asUser('ann');
    proxy.cut();

    for (let index = 0; index < 3; index += 1) expect((await server.call('GET', '/scheduler/allocations', { as })).status).toBe(200);
    expect((await server.call('GET', '/scheduler/devices/available', { as })).headers.get('x-cache')).toBe('MISS');
    await proxy.close();
  });
});
