import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { explained } from '../../dev/explain.ts';
import { countAllocations, type HistoryFilter, listAllocations, readReleased } from '../../shared/store/allocation-history.ts';
import type { Reach } from '../../shared/store/reach.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** 200 000 allocations of 2 000 devices, 1 000 users and 100 tenants, one a minute, all over. */
const ALLOCATIONS = 200_000;

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await createTestDatabase();
  store = createStore({
    databaseUrl: database.url,
    poolSize: 2,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 170_000,
    applicationName: 'test',
  });
  await store.prisma.$executeRaw`
    INSERT INTO devices (id, name, type, status, provider_type, cpu_cores, memory_mb, storage_mb)
    SELECT lpad(n::text, 32, '0')::uuid, 'device-' || n, 'phone', 'running', 'redroid', 4, 8192, 65536 FROM generate_series(1, 2000) AS n`;
  await store.prisma.$executeRaw`
    INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tenant_id, tier, status, fence, strategy, duration_minutes,
      cpu_cores, memory_mb, storage_mb, allocated_at, expires_at, ended_at, end_reason)
    SELECT gen_random_uuid(), gen_random_uuid(), lpad((n % 2000 + 1)::text, 32, '0')::uuid, 'device', 'user-' || n % 1000, 'tenant-' || n % 100,
      'standard', 'expired', n / 2000 + 1, 'resource_based', 1, 4, 8192, 65536,
      now() - make_interval(mins => ${ALLOCATIONS} - n), now() - make_interval(mins => ${ALLOCATIONS} - n - 1),
      now() - make_interval(mins => ${ALLOCATIONS} - n - 1), 'expired'
    FROM generate_series(0, ${ALLOCATIONS} - 1) AS n`;
  // Every row is looked at: what is only sampled makes the planner choose now this index, now that one.
  await store.transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL default_statistics_target = 1000`;
    await tx.$executeRaw`ANALYZE allocations, devices`;
  });
}, 300_000);
afterAll(async () => {
  await store.close();
  await database.drop();
});

const all: Reach = { kind: 'all' };
const admin: Reach = { kind: 'tenant', tenantId: 'tenant-7', userId: 'user-5' };
const day = { from: new Date(Date.now() - 2 * 86_400_000), to: new Date(Date.now() - 86_400_000) };

describe.each<[string, HistoryFilter, Reach, string]>([
  ['everybody', {}, all, 'allocations_history'],
  ['a day', day, all, 'allocations_history'],
  ['a device', { deviceId: '00000000-0000-0000-0000-000000000042' }, all, 'allocations_fence_once'],
  ['a user', { userId: 'user-5' }, all, 'allocations_history_of_user'],
  ['a tenant and its admin', {}, admin, 'allocations_history_of_tenant'],
  ['a day of a tenant', day, admin, 'allocations_history_of_tenant'],
])('the history of %s', (_, filter, reach, index) => {
  it(`is read through ${index} and nothing else`, async () => {
    const [page] = await explained(store, (through) => listAllocations(through, filter, reach, 20, undefined));
    expect(page?.indexes).toContain(index);
    expect(page?.scanned.filter((table) => table === 'allocations')).toEqual([]);
  });

  it('is the same page by page as at once, and counted', async () => {
    const whole = await listAllocations(store, filter, reach, 12, undefined);
    const first = await listAllocations(store, filter, reach, 6, undefined);
    const second = await listAllocations(store, filter, reach, 6, first.items.at(-1));
    expect(whole.items).toHaveLength(12);
    expect([...first.items, ...second.items]).toEqual(whole.items);
    expect(await countAllocations(store, filter, reach)).toBeGreaterThanOrEqual(whole.items.length);
  });
});

it('the history of a tenant has what belongs to the tenant and to its admin, once', async () => {
  expect(await countAllocations(store, {}, admin)).toBe(ALLOCATIONS / 100 + ALLOCATIONS / 1_000);
  expect(await countAllocations(store, {}, { ...admin, userId: 'user-7' })).toBe(ALLOCATIONS / 100);
});

it('what a release of a device means is found through its two indexes and a few pages', async () => {
  const deviceId = '00000000-0000-0000-0000-000000000042';
  const [plan] = await explained(store, (through) => readReleased(through, deviceId, randomUUID(), all));
  expect(plan?.indexes).toEqual(expect.arrayContaining(['allocations_ended_by_release', 'allocations_fence_once']));
  expect(plan?.scanned.filter((table) => table === 'allocations')).toEqual([]);
  expect(plan?.pages).toBeLessThan(30);
});
