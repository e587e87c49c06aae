import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Candidate, rankDevices } from '../../shared/placement/rank-devices.ts';
import { NO_CAPS, type Preference, type Requirement } from '../../shared/placement/requirement.ts';
import { resourceScore } from '../../shared/placement/resource-score.ts';
import { pickDevices, readShortage } from '../../shared/store/pick-devices.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { addDevices, type TestDevice } from '../support/fleet.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const FLEET = 300;
let database: TestDatabase;
let store: Store;
let fleet: Candidate[];

beforeAll(async () => {
  database = await createTestDatabase();
  store = createStore({
    databaseUrl: database.url,
    poolSize: 4,
    acquireTimeoutMs: 5_000,
    statementTimeoutMs: 5_000,
    applicationName: 'test',
  });
  const devices = Array.from(
    { length: FLEET },
    (_, index): TestDevice => ({
      type: index % 4 === 0 ? 'tablet' : 'phone',
      providerType: ['redroid', 'physical', 'genymotion'][index % 3] ?? 'redroid',
      region: ['north', 'south', 'east', 'west'][index % 5] ?? 'north',
      androidVersion: index % 2 === 0 ? '13' : '14',
      cpuCores: 1 + (index % 7),
      memoryMB: 1024 * (1 + (index % 5)),
      storageMB: 16_384 * (1 + (index % 3)),
      cpuUsage: (index * 37) % 100,
      ...(index % 11 === 0 ? { tenantId: 'acme' } : {}),
    }),
  );
  await addDevices(store, devices);
  fleet = (await store.prisma.device.findMany()).map((row) => ({
    id: row.id,
    tenantId: row.tenantId,
    type: row.type === 'tablet' ? 'tablet' : 'phone',
    providerType: row.providerType,
    region: row.region,
    androidVersion: row.androidVersion,
    cpuCores: row.cpuCores,
    memoryMB: row.memoryMb,
    storageMB: row.storageMb,
    resourceScore: resourceScore({
      cpuCores: row.cpuCores,
      memoryMB: row.memoryMb,
      storageMB: row.storageMb,
      cpuUsage: row.cpuUsage,
      memoryUsage: row.memoryUsage,
      storageUsage: row.storageUsage,
    }),
  }));
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

const maybe = <T>(values: readonly T[]) => fc.constantFrom(null, ...values);
const requirement: fc.Arbitrary<Requirement> = fc.record({
  tenantId: maybe(['acme']),
  deviceType: maybe(['phone', 'tablet'] as const),
  deviceId: fc.constant(null),
  minCpu: fc.constantFrom(0, 3, 6),
  minMemoryMB: fc.constantFrom(0, 2048),
  minStorageMB: fc.constantFrom(0, 32_768),
  durationMinutes: fc.constantFrom(0, 60),
  caps: fc.constantFrom(NO_CAPS, { cpuCores: 4, memoryMB: 3072, storageMB: Infinity }),
});
const preference: fc.Arbitrary<Preference> = fc.record({
  providerType: maybe(['physical']),
  region: maybe(['south', 'nowhere']),
  androidVersion: maybe(['14']),
  lastDeviceId: fc.option(
    fc.nat({ max: FLEET - 1 }).map((index) => `#${index}`),
    { nil: null },
  ),
  avoidDeviceIds: fc.array(
    fc.nat({ max: FLEET - 1 }).map((index) => `#${index}`),
    { maxLength: 4 },
  ),
});

const idOf = (placeholder: string) => fleet[Number(placeholder.slice(1))]?.id ?? '';

describe('the devices Postgres picks', () => {
  it('are those the ranking names, in its order, for any need and any wish', async () => {
    await fc.assert(
      fc.asyncProperty(requirement, preference, fc.integer({ min: 1, max: 12 }), async (need, drawn, count) => {
        const wish = {
          ...drawn,
          lastDeviceId: drawn.lastDeviceId === null ? null : idOf(drawn.lastDeviceId),
          avoidDeviceIds: drawn.avoidDeviceIds.map(idOf),
        };
        const picked = await store.transaction((tx) =>
          pickDevices(tx, { requirement: need, preference: wish, members: [], rank: null }, count, []),
        );
        const ranked = rankDevices(fleet, need, wish).slice(0, count);
        expect(picked.map(({ id }) => id)).toEqual(ranked.map(({ id }) => id));
        expect(picked.map((device) => device.resourceScore)).toEqual(ranked.map((device) => device.resourceScore));
      }),
      { numRuns: 150 },
    );
  });

  it('leave out what was given out already and what another transaction holds', async () => {
    const need: Requirement = {
      tenantId: null,
      deviceType: null,
      deviceId: null,
      minCpu: 0,
      minMemoryMB: 0,
      minStorageMB: 0,
      durationMinutes: 0,
      caps: NO_CAPS,
    };
    const wish: Preference = { providerType: null, region: null, androidVersion: null, lastDeviceId: null, avoidDeviceIds: [] };
    const wanted = { requirement: need, preference: wish, members: [], rank: null };
    const ranked = rankDevices(fleet, need, wish).map(({ id }) => id);
    await store.transaction(async (tx) => {
      const mine = await pickDevices(tx, wanted, 2, []);
      const next = await pickDevices(
        tx,
        wanted,
        1,
        mine.map(({ id }) => id),
      );
      const others = await store.transaction((other) => pickDevices(other, wanted, 1, []));
      expect([...mine, ...next, ...others].map(({ id }) => id)).toEqual(ranked.slice(0, 4));
    });
    // Freed after the transaction began: its next lease starts no earlier than the one before it ended.
    await store.transaction(async (tx) => {
      await tx.$queryRaw`SELECT now()`;
      const [freed] = await store.prisma.$queryRaw<{ at: Date }[]>`
        UPDATE devices SET updated_at = clock_timestamp() WHERE id = ${ranked[0]}::uuid RETURNING updated_at AS at`;
      const [first] = await pickDevices(tx, wanted, 1, []);
      expect(first?.id).toBe(ranked[0]);
      expect(first?.freeSince.getTime()).toBeGreaterThanOrEqual(freed?.at.getTime() ?? Number.NaN);
    });
  });

  it('come with the reason when there is none', async () => {
    const need: Requirement = {
      tenantId: null,
      deviceType: null,
      deviceId: null,
      minCpu: 5,
      minMemoryMB: 0,
      minStorageMB: 0,
      durationMinutes: 0,
      caps: { ...NO_CAPS, cpuCores: 4 },
    };
    const wish: Preference = { providerType: null, region: null, androidVersion: null, lastDeviceId: null, avoidDeviceIds: [] };
    const shortage = (changes: Partial<Requirement>) =>
      store.transaction((tx) =>
        readShortage(tx, { requirement: { ...need, ...changes }, preference: wish, members: [], rank: null }, [], 1),
      );
    expect(await shortage({})).toMatchObject({ freeWithinCaps: 0, existsWithinCaps: false, smallest: { cpuCores: 5 } });
    expect(await shortage({ caps: NO_CAPS })).toMatchObject({ freeWithinCaps: 1, existsWithinCaps: true });
    expect(await shortage({ minCpu: 99 })).toEqual({ freeWithinCaps: 0, existsWithinCaps: false, smallest: null });
  });
});
