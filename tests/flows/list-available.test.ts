import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createAvailableCache } from '../../api/available-cache.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { metricValue } from '../support/neighbours.ts';

const AVAILABLE = '/scheduler/devices/available';

let bench: ApiBench;
let api: ApiServer;
let other: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  other = await bench.start();
  await bench.startWorkers();
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, ledger, outbox, users CASCADE`);
  const keys = await bench.redis.keys(`${bench.prefix}:available:*`);
  if (keys.length > 0) await bench.redis.del(...keys);
});

const list = async (server: ApiServer, query = '', user = 'ann', claims = {}) =>
  server.call('GET', `${AVAILABLE}${query}`, { as: await asUser(user, claims) });

describe('GET /scheduler/devices/available', () => {
  test('shows free running devices and nothing that is secret', async () => {
    const [id] = await bench.addDevices(1, { region: 'eu', androidVersion: '14' });
    await bench.addDevices(1, { status: 'stopped' });
    await bench.addDevices(1, { draining: true });
    await bench.addDevices(1, { cleaningUntil: new Date(Date.now() + 60_000) });

    const { body, text } = await list(api);

    expect(body.data).toEqual({
      items: [
        {
          id,
          name: 'device 0',
          type: 'phone',
          status: 'running',
          cpuCores: 4,
          memoryMB: 4096,
          storageMB: 65_536,
          providerType: 'redroid',
          androidVersion: '14',
          region: 'eu',
          healthScore: 100,
        },
      ],
      total: 1,
      nextCursor: null,
    });
    expect(text).not.toContain('10.9.8.7');
  });

  test('filters by what was asked for', async () => {
    await bench.addDevices(2, { region: 'eu' });
    const [big] = await bench.addDevices(1, { type: 'tablet', providerType: 'physical', region: 'us', cpuCores: 16, memoryMb: 32_768 });

    for (const query of ['?deviceType=tablet', '?providerType=physical', '?region=us', '?minCpu=16', '?minMemory=32768']) {
      const { body } = await list(api, query);
      expect([query, body.data.total, body.data.items[0].id]).toEqual([query, 1, big]);
    }
    expect((await list(api, '?region=nowhere')).body.data).toEqual({ items: [], total: 0, nextCursor: null });
  });

  test('walks pages by id, each device once', async () => {
    const ids = await bench.addDevices(5);
    const seen: string[] = [];
    for (let query = '?limit=2'; query !== ''; ) {
      const { data } = (await list(api, query)).body;
      expect(data.total).toBe(5);
      seen.push(...data.items.map(({ id }: { id: string }) => id));
      query = data.nextCursor === null ? '' : `?limit=2&cursor=${data.nextCursor}`;
    }
    expect(seen).toEqual(ids);
    expect((await list(api, '?cursor=rubbish')).status).toBe(400);
    expect((await list(api, '?limit=0')).status).toBe(400);
    expect((await list(api, '?limit=1e1')).status).toBe(400);
  });

  test('shows a tenant its own devices beside the shared ones, and services all', async () => {
    await bench.addDevices(1);
    await bench.addDevices(1, { tenantId: 't1' });
    await bench.addDevices(1, { tenantId: 't2' });

    expect((await list(api)).body.data.total).toBe(1);
    expect((await list(api, '', 'ann', { tenantId: 't1' })).body.data.total).toBe(2);
    expect((await api.call('GET', AVAILABLE, { as: await asService() })).body.data.total).toBe(3);
  });

  test('comes from the cache until a grant, a release or a change of the fleet', async () => {
    const [id] = await bench.addDevices(2);
    const seen = async (server: ApiServer) => {
      const { headers, body } = await list(server);
      return [headers.get('x-cache'), body.data.total];
    };
    const as = await asUser('ann');

    expect(await seen(api)).toEqual(['MISS', 2]);
    expect(await seen(other)).toEqual(['HIT', 2]);
    const granted = await api.call('POST', '/scheduler/devices/allocate', { as, body: { userId: 'ann' } });
    expect(await seen(other)).toEqual(['MISS', 1]);
    expect(await seen(api)).toEqual(['HIT', 1]);
    await api.call('POST', '/scheduler/devices/release', { as, body: { allocationId: granted.body.data.allocationId } });
    expect(await seen(api)).toEqual(['MISS', 2]);
    await api.call('POST', `/scheduler/devices/${id}/drain`, { as: await asService() });
    expect(await seen(other)).toEqual(['MISS', 1]);
  });

  test('loads once for a crowd, over processes', async () => {
    await bench.addDevices(3);
    const missesOf = (server: ApiServer) => metricValue(server.metrics, 'scheduler_available_cache_total', { result: 'miss' });
    // What was changed before may be told in the midst of a crowd: then the next crowd is the one.
    await eventually(async () => {
      await bench.redis.incr(`${bench.prefix}:available:epoch`);
      const before = (await missesOf(api)) + (await missesOf(other));
      const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => list(index % 2 === 0 ? api : other)));
      expect(answers.every(({ body }) => body.data.total === 3)).toBe(true);
      expect(answers.filter(({ headers }) => headers.get('x-cache') === 'MISS')).toHaveLength(1);
      expect((await missesOf(api)) + (await missesOf(other)) - before).toBe(1);
    });
  });

  test('forgets a list after its time even if nothing says so', async () => {
    const short = await bench.start({ availableCacheTtlS: 5 });
    await bench.addDevices(1);
    await list(short);
    const key = (await bench.redis.keys(`${bench.prefix}:available:list:*`))[0] ?? '';
    expect(await bench.redis.pttl(key)).toBeGreaterThan(0);
    expect(await bench.redis.pttl(key)).toBeLessThanOrEqual(5_000);
    await short.close();
  });

  test('counts a large fleet at most every ten seconds', async () => {
    await bench.store.prisma.$executeRaw`
      INSERT INTO devices (id, name, type, status, provider_type, cpu_cores, memory_mb, storage_mb)
      SELECT gen_random_uuid(), 'device', 'phone', 'running', 'redroid', 2, 2048, 8192 FROM generate_series(1, 5100)`;
    expect((await list(api)).body.data.total).toBe(5_100);
    await bench.store.prisma.$executeRaw`UPDATE devices SET draining = true WHERE id IN (SELECT id FROM devices LIMIT 10)`;
    await bench.redis.incr(`${bench.prefix}:available:epoch`);
    expect((await list(api)).body.data.total).toBe(5_100);
    expect(await bench.redis.ttl((await bench.redis.keys(`${bench.prefix}:available:total:*`))[0] ?? '')).toBeGreaterThan(0);
  });
});

describe('the cache of available devices', () => {
  const open = (now = Date.now) =>
    createAvailableCache({
      redis: bench.redis,
      prefix: bench.prefix,
      ttlSeconds: 10,
      metrics: createMetrics('test'),
      logger: createLogger('test', 'silent'),
      now,
    });

  test('loads after each of forty changes at once, then every 25 ms however many there are', async () => {
    let now = 1_000;
    const cache = open(() => now);
    let loads = 0;
    const change = async () => {
      await cache.evict();
      await cache.read('k', async () => {
        loads += 1;
        return `list ${loads}`;
      });
    };

    for (let count = 0; count < 60; count += 1) await change();
    expect(loads).toBe(40);
    now += 24;
    await change();
    expect(loads).toBe(40);
    now += 1;
    for (let count = 0; count < 10; count += 1) await change();
    expect(loads).toBe(41);
  });

  test('keeps nothing of a load that failed, and lets the next one try', async () => {
    const cache = open();
    await expect(cache.read('k', () => Promise.reject(new Error('the database is away')))).rejects.toThrow('away');
    expect(await cache.read('k', async () => 'list')).toEqual({ text: 'list', hit: false });
  });

  test('does not wait for ever for a process that died while loading', async () => {
    const cache = open();
    await bench.redis.set(`${bench.prefix}:available:list:k:lock`, 'somebody', 'PX', 60_000);
    expect(await cache.read('k', async () => 'list')).toEqual({ text: 'list', hit: false });
  });

  test('takes what another process loaded meanwhile', async () => {
    const cache = open();
    const lock = `${bench.prefix}:available:list:k:lock`;
    await bench.redis.set(lock, 'somebody', 'PX', 60_000);
    const reading = cache.read('k', async () => 'mine');
    await bench.redis.set(`${bench.prefix}:available:list:k`, `0 ${Date.now()} 39\ntheirs`);
    expect(await reading).toEqual({ text: 'theirs', hit: true });
  });

  test('reads past what it does not understand', async () => {
    await bench.redis.set(`${bench.prefix}:available:list:k`, 'nonsense');
    expect(await open().read('k', async () => 'list')).toEqual({ text: 'list', hit: false });
  });
});
