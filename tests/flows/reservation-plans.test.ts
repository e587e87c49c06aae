import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { conflictsOf, countReservations, listReservations, noteShown, readReservation } from '../../shared/store/read-reservations.ts';
import { seriesDue } from '../../shared/store/reservation-series.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { dueReservations, endNoShows, expireUnbegun, REMIND } from '../../shared/store/sweep-reservations.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { bookDirectly } from '../support/reservation-bench.ts';

const DEVICES = 10_000;
const PER_DEVICE = 5;
/** Rows a statement may read one after the other, and through indexes: far fewer than there are. */
const MOST_READ = 3_000;

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await createTestDatabase();
  // One connection, so that what it has read can be asked of it.
  store = createStore({
    databaseUrl: database.url,
    poolSize: 1,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 60_000,
    applicationName: 'test',
  });
  await store.transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await tx.$executeRaw`
      INSERT INTO devices (id, name, type, status, provider_type, cpu_cores, memory_mb, storage_mb, allocation_id, fence)
      SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'd', CASE WHEN n % 50 = 0 THEN 'tablet' ELSE 'phone' END, 'running', 'redroid',
        2 + n % 7, 4096, 65536, CASE WHEN n % 2 = 0 THEN ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid END, n % 2
      FROM generate_series(1, ${DEVICES}::int) n`;
    await tx.$executeRaw`
      INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tier, fence, strategy, duration_minutes, cpu_cores, memory_mb, storage_mb, allocated_at, expires_at)
      SELECT allocation_id, gen_random_uuid(), id, 'd', 'holder-' || id, 'free', 1, 's', 60, 1, 1, 1, now(), now() + interval '1 hour' FROM devices WHERE allocation_id IS NOT NULL`;
    await tx.$executeRaw`
      INSERT INTO reservations (id, user_id, tenant_id, user_tier, device_id, status, starts_at, ends_at, blocked_until, remind_at)
      SELECT gen_random_uuid(), 'user-' || (n % 997) || '-' || s, 'tenant-' || n % 100, 'free', ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'confirmed',
        now() + make_interval(hours => 2 + 2 * s, mins => (n / 997) * 100 * 24), now() + make_interval(hours => 3 + 2 * s, mins => (n / 997) * 100 * 24),
        now() + make_interval(hours => 3 + 2 * s, mins => (n / 997) * 100 * 24), now() + make_interval(hours => 1 + 2 * s, mins => (n / 997) * 100 * 24)
      FROM generate_series(1, ${DEVICES}::int) n, generate_series(1, ${PER_DEVICE}::int) s`;
  });
  await store.prisma.$executeRaw`VACUUM`;
  // Every row is looked at: what is only sampled makes the planner choose now this index, now that one.
  await store.transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL default_statistics_target = 1000`;
    await tx.$executeRaw`ANALYZE`;
  });
}, 120_000);
afterAll(async () => {
  await store.close();
  await database.drop();
});

/** Rows read so far from the large tables: one after the other, and through indexes. */
async function reads(): Promise<{ walked: number; fetched: number }> {
  await store.prisma.$queryRaw`SELECT pg_stat_force_next_flush()::text`;
  const [row] = await store.prisma.$queryRaw<{ walked: number; fetched: number }[]>`
    SELECT sum(seq_tup_read)::float8 AS walked, sum(idx_tup_fetch)::float8 AS fetched FROM pg_stat_user_tables
    WHERE relname IN ('reservations', 'devices', 'allocations', 'reservation_series')`;
  return row ?? { walked: 0, fetched: 0 };
}

const ALL = { kind: 'all' } as const;
const no = { afterSeconds: 600, upSince: new Date(0), ending: { cleaningSeconds: 0 }, onEnded: () => undefined };

const QUERIES: Readonly<Record<string, () => Promise<unknown>>> = {
  'a booking': () => bookDirectly(store, { inMinutes: 300 }),
  'a booking of the largest size': () => bookDirectly(store, { inMinutes: 300, minCpu: 8 }),
  'a booking of a rare kind': () => bookDirectly(store, { inMinutes: 300, deviceType: 'tablet' }),
  'a booking of one device': () => bookDirectly(store, { inMinutes: 300, wantedDeviceId: '00000000-0000-4000-8000-000000000007' }),
  'one reservation': () => readReservation(store, randomUUID(), ALL),
  'the list of everybody': () => listReservations(store, {}, ALL, 20, { after: undefined }),
  'the list of a tenant': () =>
    listReservations(store, {}, { kind: 'tenant', tenantId: 'tenant-5', userId: 'x' }, 20, { after: undefined }),
  'the list of a user, and how many': async () => {
    await listReservations(store, { userId: 'user-5-1' }, ALL, 20, { after: undefined });
    await countReservations(store, { userId: 'user-5-1' }, ALL);
  },
  'the conflicts of a user': () => conflictsOf(store, 'user-5-1', ALL, new Date(), new Date(Date.now() + 86_400_000)),
  'what is due': () => dueReservations(store, 100, undefined),
  'what is over': () => expireUnbegun(() => undefined).due(store, 100),
  'whom to remind': () => REMIND.due(store, 100),
  'who did not come': () => endNoShows(no).due(store, 100),
  'which series go on': () => seriesDue(store, 30, 100),
  'a holder who shows up': () => noteShown(store, randomUUID()),
};

describe(`among ${DEVICES * PER_DEVICE} reservations`, () => {
  test.each(Object.keys(QUERIES))('%s reads little, through indexes', async (name) => {
    const before = await reads();
    await QUERIES[name]?.();
    const after = await reads();
    expect({ walked: after.walked - before.walked < MOST_READ, fetched: after.fetched - before.fetched < MOST_READ, by: name }).toEqual({
      walked: true,
      fetched: true,
      by: name,
    });
  });

  test('the list of a tenant has what belongs to the tenant and to its admin, once, page by page', async () => {
    const admin = { kind: 'tenant', tenantId: 'tenant-5', userId: 'user-6-1' } as const;
    const total = await countReservations(store, {}, admin);
    const [row] = await store.prisma.$queryRaw<{ both: number; of_tenant: number }[]>`
      SELECT count(*)::int AS both, (count(*) FILTER (WHERE tenant_id = 'tenant-5'))::int AS of_tenant
      FROM reservations WHERE tenant_id = 'tenant-5' OR user_id = 'user-6-1'`;
    expect(row).toEqual({ both: total, of_tenant: (DEVICES / 100) * PER_DEVICE });
    expect(total).toBeGreaterThan(row?.of_tenant ?? 0);
    const { items: whole } = await listReservations(store, {}, admin, total, { after: undefined });
    expect(new Set(whole.map(({ reservationId }) => reservationId)).size).toBe(total);
    const { items: first } = await listReservations(store, {}, admin, 7, { after: undefined });
    const { items: second } = await listReservations(store, {}, admin, 7, { after: first.at(-1) });
    const { items: skipped } = await listReservations(store, {}, admin, 7, { skip: 7 });
    expect([...first, ...second]).toEqual(whole.slice(0, 14));
    expect(skipped).toEqual(second);
  });

  test('a look at all of them would be seen', async () => {
    const before = await reads();
    await store.prisma.$queryRaw`SELECT count(*)::int FROM reservations WHERE cancel_reason = 'none'`;
    expect((await reads()).walked - before.walked).toBeGreaterThan(MOST_READ);
  });
});
