import { afterEach, describe, expect, test } from '@jest/globals';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { grantGroup } from '../../shared/store/grant-group.ts';
import { checkInvariants } from '../../shared/store/invariants.ts';
import { releaseGroup } from '../../shared/store/release-group.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { quotaOf } from '../support/api-bench.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { requestOf } from '../support/kill-bench.ts';
import { createTestDatabase } from '../support/postgres.ts';

let close = () => Promise.resolve();
afterEach(() => close());

const POLICY = { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true, strategy: RESOURCE_BASED };

/** One device: bob had it, ann has it. All of it as the product writes it. */
async function openWorld(): Promise<Store> {
  const database = await createTestDatabase();
  const timeouts = { acquireTimeoutMs: 5_000, statementTimeoutMs: 10_000 };
  const store = createStore({ databaseUrl: database.url, poolSize: 2, applicationName: 'test', ...timeouts });
  close = async () => {
    await store.close();
    await database.drop();
  };
  await addDevices(store, alike(1));
  const { allocationId } = await grant(store, 'bob');
  const named = { allocationId, deviceId: undefined, userId: null, tenantId: null, fence: undefined, endReason: 'released' as const };
  await releaseGroup(store, [named], { cleaningSeconds: 0 });
  await grant(store, 'ann');
  return store;
}

async function grant(store: Store, userId: string) {
  const balance = { kind: 'allowed', status: 'ok', balance: 100 } as const;
  const [outcome] = await grantGroup(store, [{ request: requestOf(userId), quota: quotaOf(10), balance }], POLICY);
  if (outcome?.status !== 'granted') throw new Error(`nothing was granted: ${JSON.stringify(outcome)}`);
  return outcome.allocation;
}

const RESERVATION = (status: string, allocation: string) => `
  INSERT INTO reservations (id, user_id, user_tier, device_id, starts_at, ends_at, blocked_until, status, allocation_id)
  SELECT gen_random_uuid(), 'eve', 'standard', device_id, expires_at - interval '1 minute', expires_at, expires_at, '${status}', ${allocation}
  FROM allocations WHERE user_id = 'ann'`;

/** How each rule may be broken: by hand, with the guard that stands in front of it taken away where there is one. */
const BREAKS: Readonly<Record<string, readonly string[]>> = {
  'one live allocation per device': [
    'DROP INDEX allocations_one_live_per_device',
    `INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tier, fence, strategy, duration_minutes, cpu_cores, memory_mb, storage_mb, allocated_at, expires_at)
     SELECT gen_random_uuid(), gen_random_uuid(), device_id, device_name, 'eve', tier, fence + 1, strategy, duration_minutes, cpu_cores, memory_mb, storage_mb, allocated_at, expires_at
     FROM allocations WHERE user_id = 'ann'`,
  ],
  'leases of a device never overlap in time': [
    `UPDATE allocations SET allocated_at = allocated_at - interval '1 minute', expires_at = expires_at - interval '1 minute' WHERE user_id = 'ann'`,
  ],
  'fences of a device rise and none is above the device': ['UPDATE devices SET fence = 1'],
  'device and live allocation agree': ['UPDATE devices SET allocation_id = NULL'],
  'no live allocation is past its end': [
    `UPDATE allocations SET allocated_at = allocated_at - interval '2 hours', expires_at = expires_at - interval '2 hours' WHERE user_id = 'ann'`,
  ],
  'no user holds more devices than the last known limit': [`UPDATE users SET limits = '{"maxDevices": 0}' WHERE id = 'ann'`],
  'a granted request has exactly its allocation': [
    `UPDATE requests SET status = 'cancelled', code = 'CANCELLED', allocation_id = NULL WHERE user_id = 'ann'`,
  ],
  'no request is granted after its deadline': [`UPDATE requests SET deadline = decided_at - interval '1 second' WHERE user_id = 'ann'`],
  'one ledger row per ended allocation, to the second': ['DELETE FROM ledger'],
  'extensions add up, and each has its event': [`UPDATE allocations SET extend_count = 1 WHERE user_id = 'ann'`],
  'every grant and every end has one event and one usage report': [`DELETE FROM outbox WHERE topic = 'device.released'`],
  'no lease reaches into a reservation of its device': ['ALTER TABLE reservations DISABLE TRIGGER USER', RESERVATION('confirmed', 'NULL')],
  'a reservation is executing as long as its allocation lives': [RESERVATION('completed', 'id')],
};

describe('the checker', () => {
  test('finds nothing where all is as the product writes it', async () => {
    expect(await readInvariants(await openWorld())).toEqual([]);
  });

  test('knows of a way to break each of its rules', async () => {
    const { checks } = await checkInvariants(await openWorld());
    expect(Object.keys(BREAKS)).toEqual(checks.map(({ name }) => name));
  });

  test.each(Object.entries(BREAKS))('goes red when this does not hold: %s', async (name, statements) => {
    const store = await openWorld();
    for (const statement of statements) await store.prisma.$executeRawUnsafe(statement);
    const { ok, checks } = await checkInvariants(store);
    expect(ok).toBe(false);
    expect(checks.find((check) => check.name === name)).toMatchObject({ ok: false, violations: 1 });
  });

  test('goes red when an event is not as its schema says', async () => {
    const store = await openWorld();
    await store.prisma.$executeRaw`UPDATE outbox SET payload = payload - 'userId' WHERE topic = 'device.allocated'`;
    expect(await readInvariants(store)).toEqual(expect.arrayContaining([expect.stringContaining('device.allocated: userId')]));
  });
});
