import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { loadConfig } from '../../shared/config.ts';
import { extendGroup } from '../../shared/store/extend-group.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { RENEWAL, type Wired, wire } from '../support/wire.ts';

let wired: Wired;
beforeAll(async () => {
  const loaded = loadConfig({ JWT_SECRET: 'x'.repeat(32), DASHBOARD_PASSWORD: 'x'.repeat(32), BILLING_RESERVE_FULL_TERM: 'yes' });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const reserveFullTerm = loaded.config.BILLING_RESERVE_FULL_TERM;
  wired = await wire({
    allocation: { outagePolicy: { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true, reserveFullTerm } },
    rules: { ...RENEWAL, reserveFullTerm },
  });
});
afterAll(() => wired.close());
beforeEach(async () => {
  await wired.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox CASCADE`);
});

/** A user nobody has asked about yet, with so much money. */
function withBalance(balance: number | string): string {
  const userId = randomUUID();
  wired.billing.control.setBalance(userId, { balance, status: 'active' });
  return userId;
}

const fleet = (...prices: (number | undefined)[]) =>
  addDevices(
    wired.store,
    alike(prices.length).map((device, index) => ({ ...device, ...(prices[index] === undefined ? {} : { costPerHour: prices[index] }) })),
  );

async function priceOf(outcome: AllocateOutcome): Promise<number | null> {
  if (outcome.status !== 'granted') throw new Error(JSON.stringify(outcome));
  const { deviceId } = outcome.allocation;
  return (await wired.store.prisma.device.findUniqueOrThrow({ where: { id: deviceId } })).costPerHour;
}

describe('in safe mode a device is granted', () => {
  test('only if the balance covers it to the end of its term', async () => {
    await fleet(4);
    const userId = withBalance('2.00');
    expect(await wired.allocate(userId, { durationMinutes: 31 })).toMatchObject({
      status: 'refused',
      code: 'INSUFFICIENT_BALANCE',
      details: { required: expect.closeTo(2.066667, 5), balance: 2 },
    });
    expect(await priceOf(await wired.allocate(userId, { durationMinutes: 30 }))).toBe(4);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  test('that is not too dear where others are', async () => {
    await fleet(9, 9, 1, 9);
    expect(await priceOf(await wired.allocate(withBalance(2), { durationMinutes: 60 }))).toBe(1);
  });

  test('whatever the balance, if it has no price', async () => {
    await fleet(undefined);
    expect(await priceOf(await wired.allocate(withBalance(0), { durationMinutes: 60 }))).toBeNull();
  });

  test('once for the same money, however many are asked for at once', async () => {
    await fleet(...Array.from({ length: 6 }, () => 2));
    const userId = withBalance(5);
    const outcomes = await Promise.all(Array.from({ length: 6 }, () => wired.allocate(userId, { durationMinutes: 60 })));
    expect(outcomes.filter(({ status }) => status === 'granted')).toHaveLength(2);
    expect(outcomes.find(({ status }) => status === 'refused')).toMatchObject({
      code: 'INSUFFICIENT_BALANCE',
      details: { required: 6, balance: 5 },
    });
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  test('when billing is away, as its own policy says', async () => {
    await fleet(100);
    wired.billing.control.fail({ kind: 'status', status: 500 });
    try {
      expect(await priceOf(await wired.allocate(randomUUID(), { durationMinutes: 60 }))).toBe(100);
    } finally {
      wired.billing.control.heal();
    }
  });
});

describe('in safe mode who waits', () => {
  test('does not keep a device that is too dear for them from others', async () => {
    await fleet(1);
    const held = await wired.allocate(withBalance(100));
    const [poor, requestId] = [withBalance(3), randomUUID()];
    expect(await wired.allocate(poor, { queueIfBusy: true, requestId })).toMatchObject({ status: 'waiting' });
    await fleet(50);
    const dear = await wired.store.prisma.device.findFirstOrThrow({ where: { costPerHour: 50 } });
    await wired.capacity.changed({ devices: [dear.id] });
    await eventually(async () => {
      expect(await wired.store.prisma.request.findUniqueOrThrow({ where: { id: requestId } })).toMatchObject({ parked: 'BALANCE' });
    }, 20_000);
    expect(await priceOf(await wired.allocate(withBalance(100)))).toBe(50);
    if (held.status !== 'granted') throw new Error(held.status);
    const { allocationId, deviceId } = held.allocation;
    await wired.release({ allocationId });
    await wired.capacity.changed({ users: [poor], devices: [deviceId] });
    await wired.untilDecided(requestId);
    expect(await wired.store.prisma.request.findUniqueOrThrow({ where: { id: requestId } })).toMatchObject({ status: 'granted' });
  });
});

describe('in safe mode an allocation is extended', () => {
  test('only if the balance covers it to the new end', async () => {
    await fleet(6);
    const granted = await wired.allocate(withBalance(4), { durationMinutes: 30 });
    if (granted.status !== 'granted') throw new Error(granted.status);
    const { allocationId } = granted.allocation;
    expect(await wired.extend({ allocationIds: [allocationId], additionalMinutes: 11 })).toMatchObject([
      { status: 'refused', code: 'INSUFFICIENT_BALANCE', details: { required: expect.closeTo(4.1, 5), balance: 4 } },
    ]);
    expect(await wired.extend({ allocationIds: [allocationId], additionalMinutes: 10 })).toMatchObject([{ status: 'extended' }]);
  });

  test('once for the same money, however many of a user are extended at once by different workers', async () => {
    await fleet(6, 6, 6, 6);
    const userId = withBalance(17);
    const allocationIds: string[] = [];
    for (const _device of [1, 2, 3, 4]) {
      const granted = await wired.allocate(userId, { durationMinutes: 30 });
      if (granted.status !== 'granted') throw new Error(granted.status);
      allocationIds.push(granted.allocation.allocationId);
    }
    // 12 are committed. Each wants 3 more: there is room for one.
    const proposal = (allocationId: string) => ({
      ...{
        kind: 'asked' as const,
        extensionId: randomUUID(),
        allocationId,
        additionalMinutes: 30,
        reach: { kind: 'all' as const },
        fence: undefined,
      },
      ...{ balance: { kind: 'allowed' as const, status: 'ok', balance: 17 }, reason: null, by: 'user:test' },
    });
    const rules = { ...RENEWAL, reserveFullTerm: true };
    const results = await Promise.all(allocationIds.map((id) => extendGroup(wired.store, [proposal(id)], rules)));
    expect(results.flat().filter(({ status }) => status === 'extended')).toHaveLength(1);
    expect(await readInvariants(wired.store)).toEqual([]);
  });
});
