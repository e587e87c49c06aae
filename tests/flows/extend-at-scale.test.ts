import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { explained } from '../../dev/explain.ts';
import { readDueForExtension } from '../../shared/store/due-for-extension.ts';
import { readExtendFacts } from '../../shared/store/extend-facts.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** 100 000 live allocations, each on a device of its own; one in ten is to be extended by itself, one in two is reserved later. */
const LIVE = 100_000;

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
    SELECT lpad(n::text, 32, '0')::uuid, 'device-' || n, 'phone', 'running', 'redroid', 4, 8192, 65536 FROM generate_series(1, ${LIVE}::int) AS n`;
  await store.prisma.$executeRaw`
    INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tier, fence, strategy, duration_minutes,
      cpu_cores, memory_mb, storage_mb, auto_extend, allocated_at, expires_at)
    SELECT lpad(n::text, 32, '0')::uuid, gen_random_uuid(), lpad(n::text, 32, '0')::uuid, 'device', 'user-' || n % 1000,
      'standard', 1, 'resource_based', 60, 4, 8192, 65536, n % 10 = 0, now() - interval '1 hour', now() + n * interval '1 second'
    FROM generate_series(1, ${LIVE}::int) AS n`;
  await store.prisma.$executeRaw`
    INSERT INTO reservations (id, user_id, user_tier, device_id, status, starts_at, ends_at, blocked_until)
    SELECT gen_random_uuid(), 'user-' || n, 'free', lpad(n::text, 32, '0')::uuid, 'confirmed', now() + interval '3 days', now() + interval '4 days', now() + interval '4 days'
    FROM generate_series(2, ${LIVE}::int, 2) AS n`;
  await store.prisma.$executeRaw`
    INSERT INTO extensions (id, allocation_id, extend_count, minutes, total_minutes, old_expires_at, new_expires_at, automatic, balance_unchecked, extended_by)
    SELECT lpad(n::text, 32, '0')::uuid, lpad(n::text, 32, '0')::uuid, 1, 60, 120, now(), now() + interval '1 hour', false, false, 'test'
    FROM generate_series(1, ${LIVE}::int) AS n`;
  // Every row is looked at: what is only sampled makes the planner choose now this index, now that one.
  await store.transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL default_statistics_target = 1000`;
    await tx.$executeRaw`ANALYZE allocations, devices, reservations, extensions`;
  });
}, 300_000);
afterAll(async () => {
  await store.close();
  await database.drop();
});

const idOf = (n: number) =>
  `${String(n)
    .padStart(32, '0')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')}`;

describe('with 100 000 live allocations', () => {
  test('the facts of fifty extensions are fifty look-ups by index', async () => {
    const named = Array.from({ length: 50 }, (_, index) => ({
      allocationId: idOf(index * 1_000 + 2),
      extensionId: idOf(index * 1_000 + 2),
    }));
    const [plan] = await explained(store, (through) => readExtendFacts(through.prisma, named));
    expect(plan?.scanned.filter((table) => ['allocations', 'reservations', 'extensions', 'devices'].includes(table))).toEqual([]);
    expect(plan?.indexes).toEqual(expect.arrayContaining(['allocations_pkey', 'extensions_pkey', 'reservations_no_overlap_on_device']));
    const { allocations, done } = await readExtendFacts(store.prisma, named);
    expect([allocations.size, done.size]).toEqual([50, 50]);
    expect([...allocations.values()].every(({ latestEnd }) => latestEnd !== null)).toBe(true);
  });

  test('those to be extended next are read through an index of their own, page after page', async () => {
    const [plan] = await explained(store, (through) => readDueForExtension(through, 3_600, undefined, 100));
    expect(plan?.indexes).toEqual(['allocations_auto_extend']);
    expect(plan?.scanned).toEqual([]);
    const first = await readDueForExtension(store, 3_600, undefined, 100);
    const [next] = await explained(store, (through) => readDueForExtension(through, 3_600, first.at(-1), 100));
    expect(next?.indexes).toEqual(['allocations_auto_extend']);
    const second = await readDueForExtension(store, 3_600, first.at(-1), 100);
    expect(new Set([...first, ...second].map(({ allocationId }) => allocationId)).size).toBe(200);
  });
});
