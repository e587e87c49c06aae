import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { localWishes } from './local-wishes.ts';
import { placeDevices } from './place-devices.ts';
import { NO_CAPS, type Preference, type Requirement } from './requirement.ts';
import { fillNodes, nodeKey, nodeOf, seated } from './spread.ts';
import { checkStrategy, defaultStrategy, STRATEGY_TYPES, type Strategy } from './strategy.ts';
import type { Placeable } from './strategy-order.ts';
import { nextTurn } from './turns.ts';

const anything: Requirement = {
  tenantId: null,
  deviceType: null,
  deviceId: null,
  minCpu: 0,
  minMemoryMB: 0,
  minStorageMB: 0,
  durationMinutes: 60,
  caps: NO_CAPS,
};
const noWish: Preference = { providerType: null, region: null, androidVersion: null, lastDeviceId: null, avoidDeviceIds: [] };

function device(changes: Partial<Placeable>): Placeable {
  return {
    id: 'a',
    tenantId: null,
    type: 'phone',
    providerType: 'redroid',
    nodeId: null,
    region: 'north',
    androidVersion: '14',
    cpuCores: 4,
    memoryMB: 8192,
    storageMB: 65_536,
    resourceScore: 100,
    cpuUsage: 0,
    memoryUsage: 0,
    costPerHour: null,
    turn: 0,
    ...changes,
  };
}

const fleetOf = (count: number, changes: (index: number) => Partial<Placeable> = () => ({})) =>
  Array.from({ length: count }, (_, index) => device({ id: String.fromCodePoint(97 + index), ...changes(index) }));

/** Grants one device after the other, each freed before the next one is asked for. @returns how often each had its turn */
function grantsOf(strategy: Strategy, fleet: Placeable[], rounds: number, clock = 0): Map<string, number> {
  const grants = new Map<string, number>(fleet.map(({ id }) => [id, 0]));
  let now = clock;
  for (let round = 0; round < rounds; round += 1) {
    const [first] = placeDevices(fleet, anything, noWish, strategy.type);
    if (first === undefined) throw new Error('the fleet is empty');
    grants.set(first.id, (grants.get(first.id) ?? 0) + 1);
    const turned = nextTurn(strategy, first, now) ?? { turn: first.turn, clock: now };
    now = turned.clock;
    fleet.splice(fleet.indexOf(first), 1, { ...first, turn: turned.turn });
  }
  return grants;
}

describe('round_robin', () => {
  it('gives every device its turn before any has a second one, whatever the turns of before', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.nat({ max: 40 }),
        fc.array(fc.nat({ max: 50 }), { minLength: 12 }),
        (size, more, turns) => {
          const grants = grantsOf(
            defaultStrategy('round_robin'),
            fleetOf(size, (index) => ({ turn: turns[index] ?? 0 })),
            size + more,
            50,
          );
          expect(Math.max(...grants.values()) - Math.min(...grants.values())).toBeLessThanOrEqual(1);
        },
      ),
    );
  });
});

describe('round_robin, several at once', () => {
  it('is as fair whichever of them commits first', () => {
    const strategy = defaultStrategy('round_robin');
    const sizes = fc.record({ fleet: fc.integer({ min: 1, max: 12 }), rounds: fc.nat({ max: 30 }) });
    const backwards = fc.array(fc.boolean(), { minLength: 30, maxLength: 30 });
    fc.assert(
      fc.property(
        sizes,
        fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 30, maxLength: 30 }),
        backwards,
        (size, counts, reversed) => {
          let fleet = fleetOf(size.fleet);
          let clock = 1;
          const grants = new Map<string, number>(fleet.map(({ id }) => [id, 0]));
          for (let round = 0; round < size.rounds; round += 1) {
            const taken = placeDevices(fleet, anything, noWish, strategy.type).slice(0, counts[round]);
            for (const one of reversed[round] === true ? taken.toReversed() : taken) {
              const turned = nextTurn(strategy, one, clock);
              clock = turned?.clock ?? clock;
              grants.set(one.id, (grants.get(one.id) ?? 0) + 1);
              fleet = fleet.map((other) => (other.id === one.id ? { ...other, turn: turned?.turn ?? other.turn } : other));
            }
          }
          expect(Math.max(...grants.values()) - Math.min(...grants.values())).toBeLessThanOrEqual(1);
        },
      ),
    );
  });
});

describe('weighted_round_robin', () => {
  const strategy = defaultStrategy('weighted_round_robin');

  it('gives a device turns in proportion to its free CPU and memory', () => {
    const sizes = [2, 4, 8, 16];
    const fleet = fleetOf(4, (index) => ({ cpuCores: sizes[index] ?? 1, memoryMB: 2048 * (sizes[index] ?? 1) }));
    expect([...grantsOf(strategy, fleet, 300).values()]).toEqual([20, 40, 80, 160]);
  });

  it('lets one that is new, or was held for long, not catch up', () => {
    const fleet = [...fleetOf(2, () => ({ turn: 1_000_000 })), device({ id: 'new' })];
    expect([...grantsOf(strategy, fleet, 30, 1_000_000).values()]).toEqual([10, 10, 10]);
  });
});

describe('least_connection', () => {
  const strategy = defaultStrategy('least_connection');

  it('takes the lowest CPU use first', () => {
    const fleet = [device({ id: 'a', cpuUsage: 30 }), device({ id: 'b', cpuUsage: 10, turn: 9 }), device({ id: 'c', cpuUsage: 20 })];
    expect(placeDevices(fleet, anything, noWish, strategy.type).map(({ id }) => id)).toEqual(['b', 'c', 'a']);
  });

  it('of equally used ones takes the one with the fewest recent allocations, and forgets those that are long ago', () => {
    const often = nextTurn(strategy, { ...device({}), turn: nextTurn(strategy, device({}), 5_000)?.turn ?? 0 }, 5_001);
    const once = nextTurn(strategy, device({}), 5_001);
    const longAgo = nextTurn(strategy, { ...device({}), turn: nextTurn(strategy, device({}), 100)?.turn ?? 0 }, 101);
    expect(often?.turn).toBeGreaterThan(once?.turn ?? Number.NaN);
    // Twice, but thousands of allocations of the fleet ago: no more than never.
    expect(longAgo?.turn).toBeLessThan(5_002);
  });
});

describe('resource_efficiency', () => {
  it('takes the smallest that suffices', () => {
    const fleet = fleetOf(6, (index) => ({ cpuCores: 8 - index, resourceScore: index }));
    const first = (minCpu: number) => placeDevices(fleet, { ...anything, minCpu }, noWish, 'resource_efficiency')[0]?.cpuCores;
    expect([0, 4, 8].map(first)).toEqual([3, 4, 8]);
  });

  it('serves whatever any other order of the same size serves, when small requests come first', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 6 })),
        (cores, asked) => {
          const served = (type: (typeof STRATEGY_TYPES)[number]) => {
            const free = new Set(fleetOf(cores.length, (index) => ({ cpuCores: cores[index] ?? 1, resourceScore: cores[index] ?? 1 })));
            return asked
              .toSorted((a, b) => a - b)
              .filter((minCpu) => {
                const [first] = placeDevices([...free], { ...anything, minCpu }, noWish, type);
                return first !== undefined && free.delete(first);
              }).length;
          };
          expect(served('resource_efficiency')).toBeGreaterThanOrEqual(served('resource_based'));
        },
      ),
    );
  });
});

describe('cost_optimization', () => {
  it('takes the cheapest first, those without a price last, and of equals the one with the most free capacity', () => {
    const costs = [null, 0.5, 0, 0.5];
    const fleet = fleetOf(4, (index) => ({ costPerHour: costs[index] ?? null, resourceScore: index }));
    expect(placeDevices(fleet, anything, noWish, 'cost_optimization').map(({ id }) => id)).toEqual(['c', 'd', 'b', 'a']);
  });
});

describe('load_balancing', () => {
  const onNodes = fc.array(fc.record({ nodeId: fc.constantFrom('1', '2', '3', '4', null), region: fc.constantFrom('n', 's', null) }), {
    maxLength: 40,
  });

  it('keeps nodes that have room within one of each other', () => {
    fc.assert(
      fc.property(onNodes, fc.array(fc.nat({ max: 5 }), { minLength: 15, maxLength: 15 }), fc.nat({ max: 40 }), (places, held, count) => {
        const fleet = fleetOf(places.length, (index) => places[index] ?? {});
        const nodes = seated([...new Map(fleet.map((one) => [nodeKey(nodeOf(one)), nodeOf(one)])).values()]);
        const loads = new Map(nodes.map((node, index) => [nodeKey(node), { ...node, held: held[index] ?? 0 }]));
        const given = placeDevices(fleet, anything, noWish, 'load_balancing', loads).slice(0, count);
        for (const [key, load] of loads) {
          const mine = given.filter((one) => nodeKey(nodeOf(one)) === key).length;
          const room = fleet.filter((one) => nodeKey(nodeOf(one)) === key).length - mine;
          if (room > 0) for (const one of given) expect(loadAfter(loads, given, one)).toBeLessThanOrEqual(load.held + mine + 1);
        }
      }),
    );
  });

  /** Of the node of a device that was given, at most: nodes that were fuller before do not count. */
  function loadAfter(loads: ReadonlyMap<string, { held: number }>, given: readonly Placeable[], one: Placeable): number {
    const key = nodeKey(nodeOf(one));
    const upTo = given.slice(0, given.indexOf(one) + 1).filter((other) => nodeKey(nodeOf(other)) === key).length;
    return (loads.get(key)?.held ?? 0) + upTo;
  }

  it('takes regions and providers in turn where nodes are equally loaded', () => {
    const nodes = ['n', 's'].flatMap((region) =>
      ['p', 'q'].flatMap((providerType) => ['1', '2'].map((nodeId) => ({ nodeId, region, providerType }))),
    );
    const order = fillNodes(
      seated(nodes).map((node) => ({ ...node, held: 0, free: 9 })),
      8,
    ).map(({ node }) => node);
    expect(new Set(order.slice(0, 4).map(({ region, providerType }) => region + providerType)).size).toBe(4);
    expect(new Set(order.map(nodeKey)).size).toBe(8);
  });
});

describe('locality_aware', () => {
  const last = { id: 'a', region: 'south' };

  it('wishes for the device held last and its region, but not against what the request names', () => {
    const strategy = defaultStrategy('locality_aware');
    expect(localWishes(noWish, strategy, last)).toEqual({ ...noWish, lastDeviceId: 'a', region: 'south' });
    expect(localWishes({ ...noWish, region: 'east' }, strategy, last)).toMatchObject({ region: 'east' });
    expect(localWishes(noWish, strategy, { id: null, region: null })).toEqual(noWish);
  });

  it('wishes for nothing that is switched off, and no other strategy wishes at all', () => {
    const off: Strategy = { type: 'locality_aware', config: { lastDevice: false, lastRegion: false } };
    expect(localWishes(noWish, off, last)).toEqual(noWish);
    for (const type of STRATEGY_TYPES.filter((other) => other !== 'locality_aware')) {
      expect(localWishes(noWish, defaultStrategy(type), last)).toEqual(noWish);
    }
  });
});

describe('settings', () => {
  it('have defaults, and are refused by the path of what is wrong', () => {
    expect(defaultStrategy('least_connection')).toEqual({ type: 'least_connection', config: { window: 1_000 } });
    expect(checkStrategy('weighted_round_robin', { cpu: 0, memory: 0 })).toMatchObject({ ok: false, problems: [{ field: 'config.cpu' }] });
    expect(checkStrategy('least_connection', { window: 0 })).toMatchObject({ ok: false, problems: [{ field: 'config.window' }] });
    expect(checkStrategy('round_robin', { weights: 1 })).toMatchObject({ ok: false, problems: [{ field: 'config.weights' }] });
    expect(checkStrategy('round_robin', 'fast')).toMatchObject({ ok: false, problems: [{ field: 'config' }] });
  });

  it('without turns move no device in the rotation', () => {
    for (const type of ['resource_based', 'load_balancing', 'resource_efficiency', 'locality_aware', 'cost_optimization'] as const) {
      expect(nextTurn(defaultStrategy(type), device({}), 7)).toBeUndefined();
    }
  });
});
