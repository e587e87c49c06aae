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

/** Two hours on the device, so long from now. */
const RESERVATION_AT = (userId: string, from: string) => `
  INSERT INTO reservations (id, user_id, user_tier, device_id, starts_at, ends_at, blocked_until, status)
  SELECT gen_random_uuid(), '${userId}', 'standard', id, now() + interval '${from}', now() + interval '${from}' + interval '2 hours', now() + interval '${from}' + interval '2 hours', 'confirmed'
  FROM devices`;

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
  'no user holds more than the last known limits': [`UPDATE users SET limits = '{"maxDevices": 0}' WHERE id = 'ann'`],
  'no held device is being cleaned': [`UPDATE devices SET cleaning_until = now() + interval '1 hour'`],
  'reserved ranges of a device never overlap': [
    'ALTER TABLE reservations DISABLE TRIGGER USER',
    'ALTER TABLE reservations DROP CONSTRAINT reservations_no_overlap_on_device',
    RESERVATION_AT('ben', '3 hours'),
    RESERVATION_AT('eve', '4 hours'),
    RESERVATION_AT('may', '9 hours'),
  ],
  'no reservation is left lying after its time has come': [
    RESERVATION_AT('ben', '9 hours'),
    `UPDATE reservations SET starts_at = now() - interval '1 minute', next_attempt_at = now() - interval '1 minute', device_id = NULL, status = 'pending'`,
  ],
  'no request is undecided past its deadline': [
    `INSERT INTO requests (id, caller, source, user_id, tier, status, asked, deadline)
     VALUES (gen_random_uuid(), 'test', 'client', 'ben', 'standard', 'pending', '{}', now() - interval '1 minute')`,
  ],
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

  test.each(['totalCpu', 'totalMemoryMB', 'totalStorageMB', 'maxCpuPerDevice', 'maxMemoryMBPerDevice', 'maxStorageMBPerDevice'])(
    'goes red when a user holds more than %s',
    async (limit) => {
      const store = await openWorld();
      await store.prisma.user.update({ where: { id: 'ann' }, data: { limits: { [limit]: 0 } } });
      expect(await readInvariants(store)).toEqual(['no user holds more than the last known limits: 1 (ann)']);
    },
  );

  test('goes red when the bill does not say why the lease ended', async () => {
    const store = await openWorld();
    await store.prisma.$executeRaw`ALTER TABLE ledger ALTER end_reason DROP NOT NULL`;
    await store.prisma.$executeRaw`UPDATE ledger SET end_reason = NULL`;
    expect(await readInvariants(store)).toEqual([expect.stringContaining('one ledger row per ended allocation, to the second: 1')]);
  });

  test('goes red when an event is not as its schema says', async () => {
    const store = await openWorld();
    await store.prisma.$executeRaw`UPDATE outbox SET payload = payload - 'userId' WHERE topic = 'device.allocated'`;
    expect(await readInvariants(store)).toEqual(expect.arrayContaining([expect.stringContaining('device.allocated: userId')]));
  });
});
