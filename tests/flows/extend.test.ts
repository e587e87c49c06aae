import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { SchedulerClient } from '../../queues/client.ts';
import type { GrantedAllocation } from '../../shared/allocation/outcome.ts';
import type { RenewalRules } from '../../shared/renewal/decide-extend.ts';
import { type AskedExtension, type ExtendResult, extensionIdOf } from '../../shared/renewal/plan-extends.ts';
import { RENEWAL_POLICIES } from '../../shared/renewal/policy.ts';
import { extendGroup } from '../../shared/store/extend-group.ts';
import { releaseGroup } from '../../shared/store/release-group.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { playRounds } from '../support/race.ts';
import { redisUrl } from '../support/redis.ts';
import { newRequest } from '../support/requests.ts';
import { type AllocateOptions, RENEWAL, type Wired, wire } from '../support/wire.ts';

let wired: Wired;
beforeAll(async () => {
  wired = await wire();
});
afterAll(() => wired.close());
beforeEach(async () => {
  await wired.store.transaction(
    (tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, reservations CASCADE`,
  );
});

const ENDING = { cleaningSeconds: 0 };

async function granted(userId: string, options: AllocateOptions = {}): Promise<GrantedAllocation> {
  const outcome = await wired.allocate(userId, { durationMinutes: 30, ...options });
  if (outcome.status !== 'granted') throw new Error(`${userId} got ${outcome.status}`);
  return outcome.allocation;
}

async function grantedMany(count: number, options: AllocateOptions = {}): Promise<GrantedAllocation[]> {
  await addDevices(wired.store, alike(count));
  const users = Array.from({ length: count }, (_, index) => `user-${index % 50}`);
  await wired.know([...new Set(users)]);
  return Promise.all(users.map((userId) => granted(userId, options)));
}

function asked(allocationId: string, changes: Partial<AskedExtension> = {}): AskedExtension {
  return {
    kind: 'asked',
    extensionId: extensionIdOf(randomUUID(), allocationId),
    allocationId,
    reach: { kind: 'all' },
    additionalMinutes: 10,
    fence: undefined,
    balance: { kind: 'allowed', status: 'active', balance: 1 },
    reason: null,
    by: 'test',
    ...changes,
  };
}

async function extendOne(allocationId: string, rules: RenewalRules = RENEWAL): Promise<ExtendResult> {
  const [result] = await extendGroup(wired.store, [asked(allocationId)], rules);
  if (result === undefined) throw new Error('no result');
  return result;
}

const toldOf = async (key: string) =>
  (await wired.store.prisma.outboxEntry.findMany({ where: { key, channel: 'event' }, orderBy: { id: 'asc' } })).map(({ topic }) => topic);

/** What became of extensions: `extended`, or the codes of their refusals, sorted. */
const said = (results: readonly ExtendResult[]) =>
  results.map((result) => (result.status === 'refused' ? result.refusal.code : result.status)).toSorted();

/** Policies of the standard tier that differ. */
const standard = (changes: Partial<RenewalRules['policies']['standard']>): RenewalRules => ({
  ...RENEWAL,
  policies: { ...RENEWAL_POLICIES, standard: { ...RENEWAL_POLICIES.standard, ...changes } },
});

// Against expiry: races.test.ts.
describe('an extension and the end of an allocation at the same instant', () => {
  test('release: in 200 rounds nothing is extended after it was given back', async () => {
    const held = await grantedMany(200);
    const release = (allocationId: string) =>
      releaseGroup(
        wired.store,
        [{ allocationId, deviceId: undefined, userId: null, tenantId: null, fence: undefined, endReason: 'released' }],
        ENDING,
      );
    await playRounds(held.length, 8, async (round) => {
      const { allocationId = '' } = held[round] ?? {};
      const extending = round % 2 === 0 ? extendOne(allocationId) : undefined;
      const [, result] = await Promise.all([release(allocationId), extending ?? extendOne(allocationId)]);
      expect(await toldOf(allocationId)).toEqual([
        'device.allocated',
        ...(result.status === 'extended' ? ['scheduler.allocation.extended'] : []),
        'device.released',
        'scheduler.allocation.released',
      ]);
      expect(['extended', 'ALLOCATION_ENDED']).toContain(said([result])[0]);
    });
    expect(await wired.store.prisma.ledgerEntry.count()).toBe(200);
    expect(await readInvariants(wired.store)).toEqual([]);
  });
});

describe('extensions of one allocation, twenty at once', () => {
  const twenty = async (rules: RenewalRules) => {
    const [held] = await grantedMany(1);
    const results = await Promise.all(Array.from({ length: 20 }, () => extendOne(held?.allocationId ?? '', rules)));
    expect(await readInvariants(wired.store)).toEqual([]);
    return said(results);
  };
  const times = (count: number, what: string) => Array.from({ length: count }, () => what);

  test('respect the cooldown', async () => {
    expect(await twenty(RENEWAL)).toEqual([...times(19, 'EXTEND_COOLDOWN'), 'extended']);
  });

  test('respect the count', async () => {
    expect(await twenty(standard({ cooldownSeconds: 0, windowMinutes: 600 }))).toEqual([
      ...times(15, 'EXTEND_COUNT_REACHED'),
      ...times(5, 'extended'),
    ]);
  });

  test('respect the total', async () => {
    const rules = standard({ cooldownSeconds: 0, maxCount: 100, maxTotalMinutes: 100, windowMinutes: 600 });
    expect(await twenty(rules)).toEqual([...times(13, 'EXTEND_TOTAL_REACHED'), ...times(7, 'extended')]);
  });

  test('respect the window', async () => {
    const rules = standard({ cooldownSeconds: 0, maxCount: 100 });
    expect(await twenty(rules)).toEqual([...times(16, 'EXTEND_TOO_EARLY'), ...times(4, 'extended')]);
  });
});

describe('an extension and a reservation of the same device at the same instant', () => {
  test('never both hold, in 100 rounds', async () => {
    const held = await grantedMany(100);
    for (const { allocationId, deviceId, expiresAt } of held) {
      const startsAt = new Date(Date.parse(expiresAt) + 5 * 60_000);
      const [result, reserved] = await Promise.all([extendOne(allocationId), reserveIfFree(deviceId, startsAt)]);
      const { expiresAt: end } = await wired.store.prisma.allocation.findUniqueOrThrow({ where: { id: allocationId } });
      expect(reserved && end > startsAt).toBe(false);
      expect(said([result])).toEqual([reserved ? 'RESERVED_BY_OTHER' : 'extended']);
    }
  });

  test('is possible up to the gap it was booked with, and the refusal says until when', async () => {
    const [held] = await grantedMany(1);
    if (held === undefined) throw new Error('nothing granted');
    const rules = standard({ cooldownSeconds: 0 });
    expect(await reserveIfFree(held.deviceId, new Date(Date.parse(held.expiresAt) + 12 * 60_000), 2)).toBe(true);
    const latestEnd = new Date(Date.parse(held.expiresAt) + 10 * 60_000).toISOString();
    const [late] = await extendGroup(wired.store, [asked(held.allocationId, { additionalMinutes: 11 })], rules);
    expect(late).toMatchObject({ status: 'refused', refusal: { code: 'RESERVED_BY_OTHER', details: { latestEnd } } });
    expect(await extendOne(held.allocationId, rules)).toMatchObject({ extension: { newExpiresAt: new Date(latestEnd) } });
  });

  /** Books a device as reservations do: the device first, then until when it is held. */
  async function reserveIfFree(deviceId: string, startsAt: Date, gapMinutes = 0): Promise<boolean> {
    return wired.store.transaction(async (tx) => {
      await tx.$queryRaw`SELECT FROM devices WHERE id = ${deviceId}::uuid FOR NO KEY UPDATE`;
      const booked = await tx.$executeRaw`
        INSERT INTO reservations (id, user_id, user_tier, device_id, status, starts_at, ends_at, blocked_until)
        SELECT gen_random_uuid(), gen_random_uuid()::text, 'free', ${deviceId}::uuid, 'confirmed', ${startsAt}::timestamptz,
          ${startsAt}::timestamptz + interval '1 hour', ${startsAt}::timestamptz + interval '1 hour' + make_interval(mins => ${gapMinutes}::int)
        WHERE NOT EXISTS (SELECT FROM allocations WHERE device_id = ${deviceId}::uuid AND status = 'allocated' AND expires_at > ${startsAt}::timestamptz)`;
      return booked === 1;
    });
  }
});

describe('an extend job', () => {
  test('is carried out while 10 000 requests wait and no worker takes any', async () => {
    const idle = await wire({ allocationWorkers: 0, databaseUrl: wired.databaseUrl });
    try {
      const [held] = await grantedMany(1);
      await idle.producer.allocate(Array.from({ length: 10_000 }, (_, index) => newRequest({ userId: `user-${index}` })));
      const [item] = await idle.extend({ allocationIds: [held?.allocationId ?? ''], additionalMinutes: 5 });
      expect(item).toMatchObject({ status: 'extended', additionalMinutes: 5 });
      expect(await idle.producer.waiting()).toBe(10_000);
    } finally {
      await idle.close();
    }
  });

  test('that runs twice extends once and says the same', async () => {
    const held = await grantedMany(3, { tier: 'enterprise' });
    const payload = { extendId: randomUUID(), allocationIds: held.map(({ allocationId }) => allocationId), additionalMinutes: 5 };
    const first = await wired.extend(payload);
    const queue = new Queue('extend', { connection: wired.redis, prefix: wired.prefix });
    try {
      // The outcome is said a moment before the job is finished, and a job that runs is not removed.
      await eventually(async () => expect(await queue.remove(payload.extendId)).toBe(1));
      expect(await wired.extend(payload)).toEqual(first);
    } finally {
      await queue.close();
    }
    expect(first.map(({ status }) => status)).toEqual(['extended', 'extended', 'extended']);
    expect(await wired.store.prisma.extension.count()).toBe(3);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  test('of a faulty row stops none of those that were asked for at the same moment', async () => {
    const allocationIds = (await grantedMany(3)).map(({ allocationId }) => allocationId);
    const extendedBut = (left: string) => wired.store.prisma.extension.count({ where: { allocationId: { not: left } } });
    const [, poisoned = ''] = allocationIds;
    await wired.store.prisma.$executeRawUnsafe(`
      CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN IF NEW.id = '${poisoned}' THEN RAISE EXCEPTION 'poisoned'; END IF; RETURN NEW; END $$`);
    await wired.store.prisma.$executeRaw`CREATE TRIGGER poisoned BEFORE UPDATE ON allocations FOR EACH ROW EXECUTE FUNCTION poison()`;
    const extending = wired.extend({ allocationIds, additionalMinutes: 5 });
    try {
      await eventually(async () => expect(await extendedBut(poisoned)).toBe(2));
    } finally {
      await wired.store.prisma.$executeRaw`DROP TRIGGER poisoned ON allocations`;
      await wired.store.prisma.$executeRaw`DROP FUNCTION poison()`;
    }
    expect((await extending).map(({ status }) => status)).toEqual(['extended', 'extended', 'extended']);
    expect(await wired.store.prisma.extension.count()).toBe(3);
  });

  test('without balance is refused, and billing is only asked where nothing else refuses', async () => {
    await addDevices(wired.store, alike(2));
    const poor = await granted('poor');
    wired.billing.control.setBalance('poor', { balance: 0, status: 'insufficient' });
    await wired.balance.forget('poor');
    expect(await wired.extend({ allocationIds: [poor.allocationId], additionalMinutes: 5 })).toMatchObject([
      { code: 'INSUFFICIENT_BALANCE' },
    ]);
    await wired.balance.forget('poor');
    const before = wired.billing.control.calls.count();
    expect(await wired.extend({ allocationIds: [poor.allocationId], additionalMinutes: 61 })).toMatchObject([
      { code: 'VALIDATION_FAILED' },
    ]);
    expect(wired.billing.control.calls.count()).toBe(before);
  });

  test('goes on when billing is away, and its row says that nobody knew', async () => {
    await addDevices(wired.store, alike(1));
    const { allocationId } = await granted('ann');
    await wired.balance.forget('ann');
    wired.billing.control.fail({ kind: 'status', status: 500 });
    try {
      expect(await wired.extend({ allocationIds: [allocationId], additionalMinutes: 5 })).toMatchObject([{ status: 'extended' }]);
    } finally {
      wired.billing.control.heal();
    }
    expect(await wired.store.prisma.extension.findMany()).toMatchObject([{ balanceUnchecked: true, extendedBy: 'test', automatic: false }]);
  });
});

describe('the client', () => {
  test('extends, is refused and may repeat itself', async () => {
    const client = new SchedulerClient({ redis: { url: redisUrl() }, service: 'orders', prefix: wired.prefix });
    try {
      await addDevices(wired.store, alike(1));
      const { allocationId, expiresAt } = await granted('ann', { tier: 'premium' });
      const ask = { allocationId, additionalMinutes: 15, userId: 'ann', extendId: randomUUID(), reason: 'more to do' };
      const first = await client.extend(ask);
      expect(first).toMatchObject({
        status: 'extended',
        oldExpiresAt: expiresAt,
        extendCount: 1,
        remainingExtends: 9,
        totalDurationMinutes: 45,
      });
      expect(await client.extend(ask)).toEqual(first);
      expect(await client.extend({ allocationId, additionalMinutes: 15 })).toMatchObject({ status: 'refused', code: 'EXTEND_COOLDOWN' });
      expect(await client.extend({ ...ask, userId: 'eve', extendId: randomUUID() })).toMatchObject({ code: 'ALLOCATION_NOT_FOUND' });
      expect(await client.extend({ allocationId: 'one', additionalMinutes: 0 })).toMatchObject({
        status: 'refused',
        code: 'VALIDATION_FAILED',
      });
      expect(await wired.store.prisma.extension.findMany()).toMatchObject([{ extendedBy: 'service:orders', reason: 'more to do' }]);
    } finally {
      await client.close();
    }
  });
});
