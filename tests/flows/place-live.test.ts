import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { createLogger } from '../../shared/logger.ts';
import { nodeKey, nodeOf } from '../../shared/placement/spread.ts';
import { defaultStrategy, RESOURCE_BASED, type Strategy, type StrategyType } from '../../shared/placement/strategy.ts';
import { nextTurn } from '../../shared/placement/turns.ts';
import { readNodeLoads } from '../../shared/store/node-loads.ts';
import { activateType } from '../../shared/store/strategies.ts';
import { watchStrategy } from '../../shared/store/strategy-watch.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { readPlaceable } from '../support/placeable.ts';
import { type AllocateOptions, type Wired, wire } from '../support/wire.ts';

const WORKERS = 4;
let wired: Wired;
let strategy: Strategy;
let users = 0;

beforeEach(async () => {
  strategy = RESOURCE_BASED;
  wired = await wire({ allocationWorkers: WORKERS, allocation: { strategy: () => strategy, groupMax: 3 } });
});
afterEach(() => wired.close());

/** Puts a type in force in the database and in the workers of this test. */
async function useType(type: StrategyType): Promise<void> {
  await activateType(wired.store, type);
  strategy = defaultStrategy(type);
}

function granted(outcome: AllocateOutcome) {
  if (outcome.status !== 'granted') throw new Error(`not granted: ${JSON.stringify(outcome)}`);
  return outcome.allocation;
}

/** So many users ask at once, each a new one. */
async function ask(count: number, options: AllocateOptions = {}) {
  return Promise.all(
    Array.from({ length: count }, async () => {
      users += 1;
      return granted(await wired.allocate(`user-${users}`, options));
    }),
  );
}

async function giveBack(allocations: readonly { allocationId: string }[]): Promise<void> {
  await Promise.all(allocations.map(({ allocationId }) => wired.release({ allocationId })));
}

const tally = (texts: readonly string[]) => [...Map.groupBy(texts, (text) => text)].map(([, same]) => same.length);

describe('round_robin', () => {
  it('is fair to the last turn over four workers that decide at once', async () => {
    await useType('round_robin');
    await addDevices(wired.store, alike(12));
    const given: string[] = [];
    for (let round = 0; round < 12; round += 1) {
      const some = await ask(5);
      given.push(...some.map(({ deviceId }) => deviceId));
      await giveBack(some);
    }
    expect(tally(given)).toEqual(Array.from({ length: 12 }, () => 5));
  });
});

describe('weighted_round_robin', () => {
  it('gives turns by free CPU and memory, and moves the clock on', async () => {
    await useType('weighted_round_robin');
    const ids = await addDevices(wired.store, [
      { cpuCores: 2, memoryMB: 4096 },
      { cpuCores: 8, memoryMB: 16_384 },
    ]);
    const given: string[] = [];
    for (let round = 0; round < 20; round += 1) {
      const [one] = await ask(1);
      if (one === undefined) throw new Error('nobody asked');
      given.push(one.deviceId);
      await giveBack([one]);
    }
    expect(ids.map((id) => given.filter((other) => other === id).length)).toEqual([4, 16]);
    const [clock] = await wired.store.prisma.$queryRaw<{ at: number }[]>`SELECT last_value::int AS at FROM device_turns`;
    expect(clock?.at).toBeGreaterThanOrEqual(12_000);
  });

  it.each(['round_robin', 'weighted_round_robin', 'least_connection'] as const)(
    'and %s put a device back as the rule says',
    async (type) => {
      await useType(type);
      const [id = ''] = await addDevices(wired.store, [{ cpuCores: 3, memoryMB: 5000, cpuUsage: 20, memoryUsage: 35, turn: 700 }]);
      await wired.store.prisma.$queryRaw`SELECT setval('device_turns', 900)::text`;
      const [before] = await readPlaceable(wired.store);
      await ask(1);
      const [after] = await readPlaceable(wired.store);
      expect(after?.id).toBe(id);
      const ruled = before === undefined ? undefined : nextTurn(strategy, before, 900);
      expect(after?.turn).toBe(ruled?.turn);
      const [clock] = await wired.store.prisma.$queryRaw<{ at: number }[]>`SELECT last_value::int AS at FROM device_turns`;
      expect(clock?.at).toBe(ruled?.clock);
    },
  );
});

describe('least_connection', () => {
  it('takes the lowest CPU use, and of equals the one with the fewest recent allocations', async () => {
    await useType('least_connection');
    const [busy = '', first = '', second = ''] = await addDevices(wired.store, [{ cpuUsage: 50 }, { cpuUsage: 5 }, { cpuUsage: 5 }]);
    const given: string[] = [];
    for (let round = 0; round < 4; round += 1) {
      const some = await ask(1);
      given.push(...some.map(({ deviceId }) => deviceId));
      await giveBack(some);
    }
    expect(given.filter((id) => id === first)).toHaveLength(2);
    expect(given.filter((id) => id === second)).toHaveLength(2);
    const all = await ask(3);
    expect(all.map(({ deviceId }) => deviceId)).toContain(busy);
  });
});

describe('load_balancing', () => {
  const held = async () => {
    const rows = await wired.store.prisma.device.findMany();
    const nodes = Map.groupBy(rows, (row) => nodeKey(nodeOf(row)));
    return new Map([...nodes].map(([key, own]) => [key, own.filter(({ allocationId }) => allocationId !== null).length]));
  };

  it('keeps nodes within one of each other, whoever decides and whoever gives back, and counts as the rows do', async () => {
    await addDevices(
      wired.store,
      Array.from({ length: 40 }, (_, index) => ({
        ...(index % 5 === 4 ? {} : { nodeId: `node-${index % 5}` }),
        region: index % 2 === 0 ? 'north' : 'south',
        cpuCores: 1 + (index % 8),
      })),
    );
    await useType('load_balancing');
    const live: { allocationId: string; deviceId: string }[] = [];
    for (const [asking, leaving] of [
      [3, 0],
      [17, 6],
      [9, 9],
      [11, 0],
    ] as const) {
      live.push(...(await ask(asking)));
      const counts = [...(await held()).values()];
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      await giveBack(live.splice(0, leaving));
      expect(new Map((await readNodeLoads(wired.store)).map((load) => [nodeKey(load), load.held]))).toEqual(await held());
    }
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  it('fills up a node whose devices were given back, and one that was not counted before', async () => {
    const nodes = await addDevices(
      wired.store,
      Array.from({ length: 12 }, (_, index) => ({ nodeId: `node-${index % 3}` })),
    );
    await useType('load_balancing');
    const live = await ask(9);
    await giveBack(live.filter(({ deviceId }) => nodes.indexOf(deviceId) % 3 === 0));
    expect((await ask(2)).map(({ deviceId }) => nodes.indexOf(deviceId) % 3)).toEqual([0, 0]);
    const late = await addDevices(wired.store, [{ nodeId: 'late' }]);
    const all = await ask(5);
    expect(all.map(({ deviceId }) => deviceId)).toEqual(expect.arrayContaining(late));
    expect(new Map((await readNodeLoads(wired.store)).map((load) => [nodeKey(load), load.held]))).toEqual(await held());
  });
});

describe('resource_efficiency', () => {
  const fleet = [...alike(4, { cpuCores: 2 }), ...alike(4, { cpuCores: 8 })];
  const bigOnes = async () =>
    Promise.all(Array.from({ length: 4 }, (_, index) => wired.allocate(`big-${index}`, { preferredSpecs: { minCpu: 8 } })));

  it('leaves big devices for big requests', async () => {
    await useType('resource_efficiency');
    await addDevices(wired.store, fleet);
    await ask(4);
    expect((await bigOnes()).map(({ status }) => status)).toEqual(['granted', 'granted', 'granted', 'granted']);
  });

  it('does what the default does not', async () => {
    await addDevices(wired.store, fleet);
    await ask(4);
    expect((await bigOnes()).map(({ status }) => status)).toEqual(['refused', 'refused', 'refused', 'refused']);
  });
});

describe('locality_aware', () => {
  it('gives the device held last, else one of its region; what the request names comes first', async () => {
    await useType('locality_aware');
    const south = await addDevices(wired.store, alike(2, { region: 'south', cpuCores: 1 }));
    const north = await addDevices(wired.store, alike(2, { region: 'north', cpuCores: 8 }));
    const asAnn = async (options: AllocateOptions = {}) => granted(await wired.allocate('ann', options));
    const first = await asAnn({ devicePreferences: { region: 'south' } });
    await giveBack([first]);
    const again = await asAnn();
    expect(again.deviceId).toBe(first.deviceId);
    // Hers is held, by herself: another one of the same region.
    const beside = await asAnn();
    expect(south).toContain(beside.deviceId);
    await giveBack([beside]);
    const elsewhere = await asAnn({ devicePreferences: { region: 'north', avoidDeviceIds: south } });
    expect(north).toContain(elsewhere.deviceId);
    // Nothing is known of bob: free capacity decides.
    expect(north).toContain(granted(await wired.allocate('bob')).deviceId);
  });
});

describe('cost_optimization', () => {
  it('gives the cheapest that suffices, without a price last', async () => {
    await useType('cost_optimization');
    const costs = [0.3, 0.1, 0.2];
    const priced = await addDevices(
      wired.store,
      costs.map((costPerHour) => ({ costPerHour })),
    );
    const [free = ''] = await addDevices(wired.store, [{ cpuCores: 64 }]);
    const order: (string | undefined)[] = [];
    for (let turn = 0; turn < 4; turn += 1) order.push((await ask(1))[0]?.deviceId);
    expect(order).toEqual([priced[1], priced[2], priced[0], free]);
  });
});

describe('the strategy in force', () => {
  it('is written on the allocation and told by the event', async () => {
    await useType('round_robin');
    await addDevices(wired.store, alike(1));
    const [one] = await ask(1);
    expect(one?.strategy).toBe('round_robin');
    const events = await wired.store.prisma.outboxEntry.findMany({ where: { topic: 'device.allocated' } });
    expect(events.map(({ payload }) => payload)).toEqual([expect.objectContaining({ strategy: 'round_robin' })]);
  });

  it('gives back the device of last time to who wishes for it, though another has more room', async () => {
    const [small = '', large = ''] = await addDevices(wired.store, [{ cpuCores: 2 }, { cpuCores: 8 }]);
    const [blocker] = await ask(1);
    const first = granted(await wired.allocate('ann'));
    expect([blocker?.deviceId, first.deviceId]).toEqual([large, small]);
    await giveBack([first, ...(blocker === undefined ? [] : [blocker])]);
    const again = granted(await wired.allocate('ann', { devicePreferences: { sameDeviceAsLast: true } }));
    expect(again.deviceId).toBe(small);
    await giveBack([again]);
    expect(granted(await wired.allocate('ann')).deviceId).toBe(large);
  });

  it('costs the default nothing: no turn moves and no node is counted', async () => {
    await addDevices(wired.store, alike(3, { nodeId: 'one' }));
    await giveBack(await ask(3));
    expect((await readPlaceable(wired.store)).map(({ turn }) => turn)).toEqual([0, 0, 0]);
    expect(await readNodeLoads(wired.store)).toEqual([]);
    const [clock] = await wired.store.prisma.$queryRaw<{ used: boolean }[]>`SELECT is_called AS used FROM device_turns`;
    expect(clock?.used).toBe(false);
  });

  it('is changed while requests come in: none is lost, and two workers go by the new one', async () => {
    const logger = createLogger('test', 'silent');
    const watches = await Promise.all([1, 2].map(() => watchStrategy(wired.store, RESOURCE_BASED, logger)));
    const own = await wire({ databaseUrl: wired.databaseUrl, allocationWorkers: 0 });
    try {
      for (const watch of watches) own.addAllocationWorker({ strategy: watch.current, groupMax: 2 });
      const ids = await addDevices(wired.store, alike(60, { nodeId: 'a' }));
      let asked = 0;
      const seen = async (type: StrategyType) => {
        await activateType(wired.store, type);
        await eventually(async () => {
          const given = await Promise.all([1, 2, 3, 4].map(() => own.allocate(`in-turn-${++asked}`)));
          await giveBack(given.map(granted));
          expect(given.map((one) => granted(one).strategy)).toEqual([type, type, type, type]);
        });
      };
      for (const type of ['round_robin', 'load_balancing', 'resource_efficiency', 'resource_based'] as const) await seen(type);
      expect(ids).toHaveLength(60);
      expect(await readInvariants(wired.store)).toEqual([]);
    } finally {
      await Promise.all(watches.map((watch) => watch.close()));
      await own.close();
    }
  });
});
