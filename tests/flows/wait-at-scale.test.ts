import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { explained } from '../../dev/explain.ts';
import { findFree, findFreeFor } from '../../shared/store/find-free.ts';
import { readDevices } from '../../shared/store/free-devices.ts';
import { countEntries, listEntries } from '../../shared/store/queue-entries.ts';
import type { Reach } from '../../shared/store/reach.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { somebodyWaits } from '../../shared/store/unpark.ts';
import { readWaitFacts } from '../../shared/store/wait-facts.ts';
import { readWaiters } from '../../shared/store/waiters.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** 100 000 wait in 8 classes, of 1 000 tenants; one in ten is parked, one in a hundred wants one device. As many are over. */
const ROWS = 200_000;
const DEVICE = '00000000-0000-0000-0000-000000000042';

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await createTestDatabase();
  store = createStore({
    databaseUrl: database.url,
    poolSize: 2,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 120_000,
    applicationName: 'test',
  });
  await store.prisma.$executeRaw`
    INSERT INTO devices (id, name, type, status, provider_type, cpu_cores, memory_mb, storage_mb)
    SELECT lpad(n::text, 32, '0')::uuid, 'device-' || n, CASE n % 2 WHEN 0 THEN 'phone' ELSE 'tablet' END, 'running', 'redroid', 4, 8192, 65536
    FROM generate_series(1, 5000) AS n`;
  await store.prisma.$executeRaw`
    INSERT INTO requests (id, caller, source, user_id, tenant_id, tier, status, asked, created_at, deadline, waiting_since, decided_at, code, flow, rank_at,
      needs, wanted_device, parked, parked_at)
    SELECT lpad(n::text, 32, '0')::uuid, 'test', 'http', 'user-' || n % 20000, 'tenant-' || n % 1000, 'standard',
      CASE n % 2 WHEN 0 THEN 'waiting' ELSE 'timed_out' END, '{"durationMinutes": 60}', now() - make_interval(secs => n), now() + interval '1 hour', now(),
      CASE n % 2 WHEN 1 THEN now() END, CASE n % 2 WHEN 1 THEN 'REQUEST_TIMED_OUT' END, 't:tenant-' || n % 1000, now() - make_interval(secs => n),
      ARRAY[1 + (n / 2) % 2, (n / 4) % 4, 0, 0, 2147483647, 2147483647, 2147483647],
      CASE WHEN n % 200 = 0 THEN lpad((n % 5000 + 1)::text, 32, '0')::uuid END,
      CASE WHEN n % 20 = 2 THEN 'BALANCE' END, CASE WHEN n % 20 = 2 THEN now() END
    FROM generate_series(1, ${ROWS}::int) AS n`;
  // Every row is looked at: what is only sampled makes the planner choose now this index, now that one.
  await store.transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL default_statistics_target = 1000`;
    await tx.$executeRaw`ANALYZE requests, devices`;
  });
}, 180_000);
afterAll(async () => {
  await store.close();
  await database.drop();
});

const all: Reach = { kind: 'all' };
const user: Reach = { kind: 'user', userId: 'user-8' };
const admin: Reach = { kind: 'tenant', tenantId: 'tenant-8', userId: 'nobody' };
const waiters = async (through: Store, before?: Date) => {
  const devices = await readDevices(store.prisma, [DEVICE], 'free');
  return readWaiters(through.prisma, devices, 1, before);
};

describe.each<[string, (through: Store) => Promise<unknown>, readonly string[]]>([
  ['who a freed device goes to', waiters, ['requests_waiting_in_class', 'requests_waiting_for_device']],
  ['who is passed by somebody new', (through) => waiters(through, new Date()), ['requests_waiting_in_class']],
  ['whether anybody waits', somebodyWaits, ['requests_waiting_of_user']],
  [
    'the free devices of whoever waits',
    findFree,
    ['requests_waiting_in_class', 'requests_waiting_of_tenant', 'requests_waiting_for_device'],
  ],
  ['the free devices of somebody', (through) => findFreeFor(through, ['00000000-0000-0000-0000-000000000004']), ['requests_pkey']],
  ['a place', (through) => readWaitFacts(through, '00000000-0000-0000-0000-000000000004'), ['requests_waiting_in_class']],
  ['the list of everybody', (through) => listEntries(through, {}, all, 20, { after: undefined }), []],
  ['the list of a user', (through) => listEntries(through, {}, user, 20, { after: undefined }), ['requests_queued_of_user']],
  ['the list of a tenant', (through) => listEntries(through, {}, admin, 20, { after: undefined }), ['requests_queued_of_tenant']],
  ['the count of a user', (through) => countEntries(through, {}, user), ['requests_queued_of_user']],
])('%s', (_, verb, indexes) => {
  it('is read through its indexes and without reading all who wait', async () => {
    const plans = await explained(store, verb);
    for (const index of indexes) expect(plans.flatMap((plan) => plan.indexes)).toContain(index);
    expect(plans.flatMap((plan) => plan.scanned).filter((table) => table === 'requests')).toEqual([]);
  });
});

describe('a freed device among a hundred thousand who wait', () => {
  it('goes to the first by rank of those it suits', async () => {
    const found = await waiters(store);
    const [first] = await store.prisma.$queryRaw<{ id: string }[]>`
      SELECT id FROM requests WHERE status = 'waiting' AND parked IS NULL AND needs[1] = 1 AND (wanted_device IS NULL OR wanted_device = ${DEVICE}::uuid)
      ORDER BY rank_at, id LIMIT 1`;
    const best = found.toSorted((a, b) => a.rank.getTime() - b.rank.getTime())[0];
    expect(best?.requestId).toBe(first?.id);
  });
});
