import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type AskedAllocationInput, askedAllocation } from '../../shared/allocation/asked.ts';
import type { AllocationRequest } from '../../shared/allocation/facts.ts';
import { type BeginWaiting, insertWaiting } from '../../shared/store/begin-waiting.ts';
import { readDevices } from '../../shared/store/free-devices.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { readWaiters } from '../../shared/store/waiters.ts';
import { isWaitedFor } from '../../shared/store/waiting-for-device.ts';
import { matchDevices } from '../../shared/waitlist/match-devices.ts';
import { addDevices } from '../support/fleet.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await createTestDatabase();
  store = createStore({
    databaseUrl: database.url,
    poolSize: 4,
    acquireTimeoutMs: 5_000,
    statementTimeoutMs: 5_000,
    applicationName: 'test',
  });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});
beforeEach(async () => {
  await store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, reservations CASCADE`);
});

async function wait(
  userId: string,
  asked: AskedAllocationInput = {},
  who: Partial<AllocationRequest> = {},
  begin: BeginWaiting = {},
): Promise<boolean> {
  const requestId = randomUUID();
  const words = { caller: 'test', source: 'http', tenantId: null, tier: 'standard', traceId: undefined } as const;
  return store.transaction((tx) => insertWaiting(tx, { requestId, userId, asked: askedAllocation.parse(asked), ...words, ...who }, begin));
}

const waitedFor = (deviceId: string) => store.transaction((tx) => isWaitedFor(tx, deviceId));

/** Who gets which device, were these free: users and names of devices. */
async function matched(deviceIds: readonly string[]): Promise<(readonly [string, string])[]> {
  const devices = await readDevices(store.prisma, deviceIds, 'free');
  const waiters = await readWaiters(store.prisma, devices, devices.length);
  return matchDevices(devices, waiters).map(({ waiter, device }) => [waiter.request.userId, device.type] as const);
}

describe('a device', () => {
  it('is waited for by whom it suits, and by nobody else', async () => {
    const [phone = '', tablet = ''] = await addDevices(store, [{ type: 'phone' }, { type: 'tablet', cpuCores: 8 }]);
    expect(await waitedFor(phone)).toBe(false);
    await wait('ann', { devicePreferences: { deviceType: 'tablet' } });
    expect([await waitedFor(phone), await waitedFor(tablet)]).toEqual([false, true]);
    await wait('bob', { preferredSpecs: { minCpu: 16 } });
    expect(await waitedFor(phone)).toBe(false);
    await wait('cyd', { devicePreferences: { deviceId: phone } });
    expect(await waitedFor(phone)).toBe(true);
  });

  it('of a tenant is waited for by that tenant only', async () => {
    const [own = ''] = await addDevices(store, [{ tenantId: 'acme' }]);
    await wait('ann');
    await wait('bob', {}, { tenantId: 'other' });
    expect(await waitedFor(own)).toBe(false);
    await wait('cyd', {}, { tenantId: 'acme' });
    expect(await waitedFor(own)).toBe(true);
    expect(await matched([own])).toEqual([['cyd', 'phone']]);
  });

  it('with a reservation ahead is waited for by whoever is done before it, however many are not', async () => {
    const [phone = ''] = await addDevices(store, [{}]);
    await store.prisma.$executeRaw`
      INSERT INTO reservations (id, user_id, user_tier, device_id, status, starts_at, ends_at, blocked_until)
      VALUES (gen_random_uuid(), 'zoe', 'standard', ${phone}::uuid, 'confirmed', now() + interval '1 hour', now() + interval '2 hours', now() + interval '2 hours')`;
    for (const user of ['a', 'b', 'c']) await wait(user, { durationMinutes: 90 });
    expect(await matched([phone])).toEqual([]);
    await wait('ann', { durationMinutes: 59 });
    expect(await matched([phone])).toEqual([['ann', 'phone']]);
  });

  it('goes to who was given the highest rank before anybody else', async () => {
    const [phone = ''] = await addDevices(store, [{}]);
    await wait('ann', {}, { tier: 'enterprise' });
    await wait('bob', {}, { tier: 'free' }, { rank: 'highest' });
    expect(await matched([phone])).toEqual([['bob', 'phone']]);
  });
});

describe('the queue', () => {
  it('takes a user once, and has each flow in turns', async () => {
    expect(await wait('ann', {}, {}, { joined: true })).toBe(true);
    expect(await wait('ann', {}, {}, { joined: true })).toBe(false);
    for (const user of ['f1', 'f2', 'f3']) await wait(user, {}, { tenantId: 'flood' });
    await wait('bob');
    const phones = await addDevices(
      store,
      Array.from({ length: 5 }, () => ({})),
    );
    expect((await matched(phones)).map(([user]) => user)).toEqual(['ann', 'f1', 'bob', 'f2', 'f3']);
  });

  it('gives every one of a flow a place of its own when many begin to wait at once', async () => {
    await Promise.all(Array.from({ length: 12 }, (_, index) => wait(`user-${index}`, {}, { tenantId: 'acme' })));
    const places = await store.prisma.request.findMany({ select: { rankAt: true }, distinct: ['rankAt'] });
    expect(places).toHaveLength(12);
  });
});
