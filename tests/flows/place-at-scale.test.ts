import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { explaining, type StatementPlan } from '../../dev/explain.ts';
import { NO_CAPS, type Preference, type Requirement } from '../../shared/placement/requirement.ts';
import type { StrategyType } from '../../shared/placement/strategy.ts';
import { BY_INDEX } from '../../shared/store/by-index.ts';
import { pickDevices } from '../../shared/store/pick-devices.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { activateType } from '../../shared/store/strategies.ts';

import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** On 50 000 nodes in 4 regions. Half of the phones are held, and all tablets but eight hundred; most devices are small. */
const DEVICES = 1_000_000;
const GROUP = 200;
/** Pages a group may look at: a few for each device it gets, or one for each device it passes over. */
const MOST_PAGES = 4_000;
const MOST_PAGES_IF_ONE_IN_A_HUNDRED = 45_000;
/** Spreading looks at nodes besides, and puts them in order. */
const MOST_PAGES_TO_SPREAD = 12_000;
const NODES = 50_000;

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await createTestDatabase();
  const times = { acquireTimeoutMs: 10_000, statementTimeoutMs: 300_000 };
  store = createStore({ databaseUrl: database.url, poolSize: 2, ...times, applicationName: 'test' });
  await store.prisma.$executeRaw`
    INSERT INTO devices (id, name, type, status, provider_type, node_id, region, cpu_cores, memory_mb, storage_mb, cpu_usage, memory_usage,
      cost_per_hour, turn, allocation_id)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'device-' || n, CASE WHEN n % 10 = 0 THEN 'tablet' ELSE 'phone' END, 'running',
      (ARRAY['redroid', 'physical'])[1 + n % 2], 'node-' || n % 50000, 'region-' || n % 4,
      CASE WHEN n % 100 = 0 OR n % 100 = 3 THEN 16 ELSE 2 + n % 3 END, 1024 * (2 + n % 7), 32768, n % 97, n % 89, (n::bigint * 7919 % 1000) / 1000.0, n % 100003,
      CASE WHEN (n % 10 = 0 AND n % 1250 <> 0) OR n % 4 = 1 THEN lpad(to_hex(n), 32, 'a')::uuid END
    FROM generate_series(1, ${DEVICES}::int) AS n`;
  // Many rows are looked at: a small sample makes the planner choose now this index, now that one.
  await store.transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL default_statistics_target = 1000`;
    await tx.$executeRaw`ANALYZE devices`;
  });
}, 300_000);
afterAll(async () => {
  await store.close();
  await database.drop();
});

const anything: Requirement = {
  tenantId: null,
  deviceType: null,
  deviceId: null,
  minCpu: 0,
  minMemoryMB: 0,
  minStorageMB: 0,
  durationMinutes: 0,
  caps: NO_CAPS,
};
const noWish: Preference = { providerType: null, region: null, androidVersion: null, lastDeviceId: null, avoidDeviceIds: [] };

describe.each<[StrategyType, string]>([
  ['resource_based', 'devices_place_best'],
  ['round_robin', 'devices_place_in_turn'],
  ['weighted_round_robin', 'devices_place_in_turn'],
  ['least_connection', 'devices_place_least_used'],
  ['resource_efficiency', 'devices_place_smallest'],
  ['cost_optimization', 'devices_place_cheapest'],
  ['load_balancing', 'devices_place_on_node'],
])(`two hundred devices of a million by %s`, (type, index) => {
  beforeAll(async () => void (await activateType(store, type)), 120_000);

  it.each<[string, Partial<Requirement>, Partial<Preference>]>([
    ['whatever they are', {}, {}],
    ['of a type that is almost used up', { deviceType: 'tablet' }, {}],
    ['of a type of which none is large enough', { deviceType: 'tablet', minCpu: 17 }, {}],
    ['large ones', { minCpu: 16, minMemoryMB: 4096 }, {}],
    ['of a region', {}, { region: 'region-2' }],
  ])('are found through its index, without reading or sorting the fleet: %s', async (_, need, wish) => {
    const wanted = { requirement: { ...anything, ...need }, preference: { ...noWish, ...wish }, rank: null, members: [] };
    const plans: StatementPlan[] = [];
    await store.transaction(async (tx) => {
      await tx.$queryRaw`SELECT 1 AS one FROM ${BY_INDEX}`;
      await pickDevices(explaining(tx, plans), wanted, GROUP, [], type);
    });
    expect(plans.flatMap(({ scanned }) => scanned).filter((table) => table === 'devices')).toEqual([]);
    if (Object.keys(need).length + Object.keys(wish).length === 0) expect(plans.flatMap(({ indexes }) => indexes)).toContain(index);
    const most = (numbers: readonly number[]) => Math.max(...numbers);
    const rare = need.minCpu === 16;
    expect(most(plans.map(({ pages }) => pages))).toBeLessThan(
      rare ? MOST_PAGES_IF_ONE_IN_A_HUNDRED : type === 'load_balancing' ? MOST_PAGES_TO_SPREAD : MOST_PAGES,
    );
    expect(most(plans.map(({ sorted }) => sorted))).toBeLessThanOrEqual(type === 'load_balancing' ? NODES : GROUP);
  });
});
