import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { placeDevices } from '../../shared/placement/place-devices.ts';
import { NO_CAPS, type Preference, type Requirement } from '../../shared/placement/requirement.ts';
import { type NodeLoad, nodeKey } from '../../shared/placement/spread.ts';
import { STRATEGY_TYPES } from '../../shared/placement/strategy.ts';
import type { Placeable } from '../../shared/placement/strategy-order.ts';
import { readNodeLoads } from '../../shared/store/node-loads.ts';
import { pickDevices } from '../../shared/store/pick-devices.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { activateType } from '../../shared/store/strategies.ts';
import { addDevices, type TestDevice } from '../support/fleet.ts';
import { readPlaceable } from '../support/placeable.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const FLEET = 240;
let database: TestDatabase;
let store: Store;
let fleet: Placeable[];

beforeAll(async () => {
  database = await createTestDatabase();
  const times = { acquireTimeoutMs: 5_000, statementTimeoutMs: 10_000 };
  store = createStore({ databaseUrl: database.url, poolSize: 4, ...times, applicationName: 'test' });
  const device = (index: number): TestDevice => ({
    type: index % 4 === 0 ? 'tablet' : 'phone',
    providerType: ['redroid', 'physical', 'genymotion'][index % 3] ?? 'redroid',
    ...(index % 7 === 0 ? {} : { nodeId: `node-${index % 13}` }),
    ...(index % 5 === 4 ? {} : { region: ['north', 'south', 'east', 'west'][index % 5] ?? 'north' }),
    androidVersion: index % 2 === 0 ? '13' : '14',
    cpuCores: 1 + (index % 7),
    memoryMB: 1024 * (1 + (index % 5)),
    storageMB: 16_384 * (1 + (index % 3)),
    cpuUsage: (index * 37) % 10,
    memoryUsage: (index * 13) % 50,
    turn: (index * 31) % 17,
    ...(index % 6 === 0 ? {} : { costPerHour: ((index * 7) % 5) / 10 }),
    ...(index % 11 === 0 ? { tenantId: 'acme' } : {}),
  });
  await addDevices(
    store,
    Array.from({ length: FLEET }, (_, index) => device(index)),
  );
  fleet = await readPlaceable(store);
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
  minMemoryMB: fc.constantFrom(0, 2048, 4000),
  minStorageMB: fc.constantFrom(0, 32_768),
  durationMinutes: fc.constantFrom(0, 60),
  caps: fc.constantFrom(NO_CAPS, { cpuCores: 4, memoryMB: 3072, storageMB: Infinity }),
});
const index = fc.nat({ max: FLEET - 1 });
const preference = fc.record({
  providerType: maybe(['physical']),
  region: maybe(['south', 'nowhere']),
  androidVersion: maybe(['14']),
  last: fc.option(index, { nil: null }),
  avoided: fc.array(index, { maxLength: 4 }),
});

describe.each(STRATEGY_TYPES)('what Postgres picks by %s', (type) => {
  let loads: ReadonlyMap<string, NodeLoad>;
  beforeAll(async () => {
    await activateType(store, type);
    // Some nodes are loaded already: what is held is counted, not what these rows say of it.
    await store.prisma.$executeRaw`UPDATE node_loads SET held = seat % 4`;
    loads = new Map((await readNodeLoads(store)).map((load) => [nodeKey(load), load]));
  });

  it('is what the pure rule names, in its order, for any need and any wish', async () => {
    await fc.assert(
      fc.asyncProperty(requirement, preference, fc.integer({ min: 1, max: 40 }), async (need, { last, avoided, ...drawn }, count) => {
        const idAt = (at: number) => fleet[at]?.id ?? '';
        const wish: Preference = { ...drawn, lastDeviceId: last === null ? null : idAt(last), avoidDeviceIds: avoided.map(idAt) };
        const picked = await store.transaction((tx) =>
          pickDevices(tx, { requirement: need, preference: wish, rank: null, members: [] }, count, [], type),
        );
        const ruled = placeDevices(fleet, need, wish, type, loads).slice(0, count);
        expect(picked.map(({ id }) => id)).toEqual(ruled.map(({ id }) => id));
      }),
      { numRuns: 60 },
    );
  });
});
