import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { explained } from '../../dev/explain.ts';
import { joinQueue } from '../../shared/store/join-queue.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { readWaitFacts } from '../../shared/store/wait-facts.ts';
import { requestOfEntry } from '../../shared/waitlist/asked-entry.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await createTestDatabase();
  const timeouts = { acquireTimeoutMs: 10_000, statementTimeoutMs: 60_000 };
  store = createStore({ databaseUrl: database.url, poolSize: 2, ...timeouts, applicationName: 'test' });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});
beforeEach(async () => {
  await store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, reservations, requests, users CASCADE`);
});

/** Devices held until so many minutes from now. @returns their ids */
async function held(count: number, type: 'phone' | 'tablet', minutes: number): Promise<string[]> {
  const rows = await store.prisma.$queryRaw<{ id: string }[]>`
    WITH pairs AS MATERIALIZED (SELECT gen_random_uuid() AS device, gen_random_uuid() AS lease FROM generate_series(1, ${count}::int)),
    devices AS (
      INSERT INTO devices (id, name, type, status, provider_type, cpu_cores, memory_mb, storage_mb, allocation_id, fence)
      SELECT device, 'device', ${type}, 'running', 'redroid', 4, 8192, 65536, lease, 1 FROM pairs RETURNING id)
    INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tier, fence, strategy, duration_minutes, cpu_cores, memory_mb, storage_mb,
      allocated_at, expires_at)
    SELECT lease, gen_random_uuid(), device, 'device', 'holder', 'standard', 1, 'resource_based', 60, 4, 8192, 65536, now() - interval '1 minute',
      now() + make_interval(mins => ${minutes}::int) FROM pairs JOIN devices ON devices.id = device RETURNING device_id::text AS id`;
  return rows.map(({ id }) => id);
}

/** Somebody who waits. @returns the request's id */
async function waiter(entry: Parameters<typeof requestOfEntry>[0]): Promise<string> {
  const requestId = randomUUID();
  const words = { caller: 'test', source: 'http', tenantId: null, tier: 'standard', traceId: undefined } as const;
  await joinQueue(store, { requestId, userId: randomUUID(), asked: requestOfEntry(entry), ...words });
  return requestId;
}

const inMinutes = (date: Date | undefined) => (date === undefined ? undefined : Math.round((date.getTime() - Date.now()) / 60_000));
const entry = { durationMinutes: 30, maxWaitMinutes: 30 };

describe('behind six thousand leases of phones that end sooner', () => {
  beforeEach(async () => {
    await held(6_000, 'phone', 10);
  });

  test('the held tablet is why somebody waits, and its end is when one is expected', async () => {
    await held(1, 'tablet', 40);
    const facts = await readWaitFacts(store, await waiter({ ...entry, deviceType: 'tablet' }));
    expect(facts).toMatchObject({ reason: 'POOL_BUSY', estimate: expect.anything() });
    expect(inMinutes(facts?.estimate?.p90)).toBe(40);
  });

  test('whoever waits for one device is told of its lease, and no other device is looked at', async () => {
    const [wanted = ''] = await held(1, 'tablet', 40);
    const requestId = await waiter(entry);
    await store.prisma.$executeRaw`UPDATE requests SET wanted_device = ${wanted}::uuid WHERE id = ${requestId}::uuid`;
    await store.transaction((tx) => tx.$executeRaw`ANALYZE devices, allocations`);
    const facts = await readWaitFacts(store, requestId);
    expect(facts).toMatchObject({ reason: 'POOL_BUSY', estimate: expect.anything() });
    expect(inMinutes(facts?.estimate?.p90)).toBe(40);
    const plans = await explained(store, (through) => readWaitFacts(through, requestId));
    expect(Math.max(...plans.map(({ pages }) => pages))).toBeLessThan(200);
  });
});

describe('a device that is reserved', () => {
  /** @param gapMinutes  kept free around it */
  const reserve = (deviceId: string | undefined, inMinutes: number, gapMinutes = 0) => store.prisma.$executeRaw`
    INSERT INTO reservations (id, user_id, user_tier, device_id, status, starts_at, ends_at, blocked_until)
    VALUES (gen_random_uuid(), ${randomUUID()}, 'standard', ${deviceId}::uuid, 'confirmed', now() + make_interval(mins => ${inMinutes}::int),
      now() + make_interval(mins => ${inMinutes + 60}::int), now() + make_interval(mins => ${inMinutes + 60 + gapMinutes}::int))`;

  test('right after its lease is not expected then, but the one whose lease ends next', async () => {
    const [first] = await held(1, 'phone', 10);
    await held(1, 'phone', 40);
    await reserve(first, 20);
    const facts = await readWaitFacts(store, await waiter(entry));
    expect(facts).toMatchObject({ reason: 'POOL_BUSY' });
    expect(inMinutes(facts?.estimate?.p90)).toBe(40);
  });

  test('late enough after its lease is expected when that ends', async () => {
    const [first] = await held(1, 'phone', 10);
    await reserve(first, 45);
    expect(inMinutes((await readWaitFacts(store, await waiter(entry)))?.estimate?.p90)).toBe(10);
  });

  test('so soon that the gap before it is in the way is reserved, not free', async () => {
    const [first] = await held(1, 'phone', 10);
    await store.prisma.$executeRaw`UPDATE allocations SET status = 'released', ended_at = now(), end_reason = 'released'`;
    await store.prisma.$executeRaw`UPDATE devices SET allocation_id = NULL`;
    await reserve(first, 40, 15);
    expect(await readWaitFacts(store, await waiter(entry))).toMatchObject({ reason: 'RESERVED_SOON' });
  });
});
