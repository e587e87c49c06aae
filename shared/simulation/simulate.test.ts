import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { askedAllocation } from '../allocation/asked.ts';
import { placeDevices } from '../placement/place-devices.ts';
import { NO_CAPS } from '../placement/requirement.ts';
import { type NodeLoad, nodeKey, nodeOf, seated } from '../placement/spread.ts';
import { defaultStrategy, STRATEGY_TYPES } from '../placement/strategy.ts';
import { createEnds } from './ends.ts';
import { fromTrace, type SimulatedDevice, type SimulatedRequest, tracedRequest } from './recorded.ts';
import { simulate } from './simulate.ts';
import { World } from './world.ts';

function device(id: string, changes: Partial<SimulatedDevice> = {}): SimulatedDevice {
  const size = { cpuCores: 4, memoryMB: 8192, storageMB: 65_536, resourceScore: 100, cpuUsage: 0, memoryUsage: 0 };
  const place = { tenantId: null, type: 'phone' as const, providerType: 'redroid', nodeId: null, region: 'north', androidVersion: '14' };
  return { id, ...size, ...place, costPerHour: null, turn: 0, ...changes };
}

function request(atMinutes: number, holdMinutes: number, changes: Partial<SimulatedRequest> = {}, asked: object = {}): SimulatedRequest {
  const times = { atMs: atMinutes * 60_000, holdMs: holdMinutes * 60_000 };
  return { userId: `user-${atMinutes}`, tenantId: null, tier: 'standard', asked: askedAllocation.parse(asked), ...times, ...changes };
}

const run = (fleet: SimulatedDevice[], recorded: SimulatedRequest[], type: (typeof STRATEGY_TYPES)[number] = 'resource_based') => {
  const grants: [number, string][] = [];
  const result = simulate(fleet, recorded, defaultStrategy(type), (index, id) => grants.push([index, id]));
  return { ...result, order: grants };
};

describe('a simulation', () => {
  it('grants what is free, refuses what is not, and gives back after the recorded use', () => {
    const result = run([device('a', { costPerHour: 6 })], [request(0, 10), request(5, 10), request(10, 20)]);
    expect(result.order).toEqual([
      [0, 'a'],
      [2, 'a'],
    ]);
    expect(result).toMatchObject({ grants: 2, refusals: 1, refusalsByCode: { NO_DEVICE_AVAILABLE: 1 }, utilisation: 1, cost: 3 });
  });

  it('lets those wait who want to, serves them by tier and age, and ends their wait at its deadline', () => {
    const waits = { queueIfBusy: true, maxWaitMinutes: 30 };
    const recorded = [
      request(0, 20),
      request(1, 5, {}, waits),
      request(2, 5, { tier: 'enterprise' }, waits),
      request(3, 60, {}, { ...waits, maxWaitMinutes: 2 }),
    ];
    const result = run([device('a')], recorded);
    expect(result.order.map(([index]) => index)).toEqual([0, 2, 1]);
    expect(result).toMatchObject({ grants: 3, refusals: 1, refusalsByCode: { REQUEST_TIMED_OUT: 1 } });
    expect([result.waitP50Ms, result.waitP95Ms]).toEqual([18 * 60_000, 24 * 60_000]);
  });

  it('says the codes of live decisions', () => {
    const result = run(
      [device('a')],
      [request(0, 1, {}, { preferredSpecs: { minCpu: 5 } }), request(1, 1, {}, { devicePreferences: { deviceType: 'tablet' } })],
    );
    expect(result).toMatchObject({ grants: 0, refusalsByCode: { NO_MATCHING_DEVICE: 2 }, waitP50Ms: null, utilisation: 0 });
    expect(run([], [request(0, 1)])).toMatchObject({ refusals: 1 });
  });

  it('tells strategies apart', () => {
    const fleet = [device('big', { cpuCores: 16, resourceScore: 900, costPerHour: 8 }), device('small', { cpuCores: 2, costPerHour: 1 })];
    const recorded = [request(0, 60), request(1, 60, {}, { preferredSpecs: { minCpu: 8 } })];
    expect(run(fleet, recorded, 'resource_based')).toMatchObject({ grants: 1, cost: 8 });
    expect(run(fleet, recorded, 'resource_efficiency')).toMatchObject({ grants: 2, cost: 9 });
    const small = [request(0, 60), request(61, 60)];
    expect(run(fleet, small, 'cost_optimization').order.map(([, id]) => id)).toEqual(['small', 'small']);
    expect(run(fleet, small, 'round_robin').order.map(([, id]) => id)).toEqual(['big', 'small']);
    const places = [fleet[0] ?? device('big'), device('small', { cpuCores: 2, region: 'south' })];
    const same = [request(0, 5, { userId: 'ann' }, { devicePreferences: { region: 'south' } }), request(9, 5, { userId: 'ann' })];
    expect(run(places, same, 'locality_aware').order.map(([, id]) => id)).toEqual(['small', 'small']);
    expect(run(places, same, 'resource_based').order.map(([, id]) => id)).toEqual(['small', 'big']);
  });

  it('accounts for every request, whatever is asked', () => {
    const recorded = fc.array(
      fc
        .tuple(fc.nat({ max: 50 }), fc.nat({ max: 30 }), fc.boolean(), fc.integer({ min: 0, max: 6 }), fc.nat({ max: 3 }))
        .map(([at, hold, queueIfBusy, minCpu, user]) =>
          request(at, hold, { userId: `user-${user}` }, { queueIfBusy, preferredSpecs: { minCpu } }),
        ),
      { maxLength: 40 },
    );
    const fleet = fc
      .array(fc.integer({ min: 1, max: 5 }), { maxLength: 6 })
      .map((sizes) => sizes.map((cpuCores, index) => device(`d${index}`, { cpuCores })));
    fc.assert(
      fc.property(fleet, recorded, fc.constantFrom(...STRATEGY_TYPES), (devices, requests, type) => {
        const result = run(devices, requests, type);
        expect(result.grants + result.refusals).toBe(requests.length);
        expect(result.utilisation).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe('a world in memory', () => {
  const place = fc.record({
    nodeId: fc.constantFrom('1', '2', null),
    region: fc.constantFrom('n', 's'),
    cpuCores: fc.integer({ min: 1, max: 4 }),
    resourceScore: fc.nat({ max: 5 }),
  });

  it('picks what the rule for many at once names, load_balancing as well', () => {
    fc.assert(
      fc.property(fc.array(place, { maxLength: 20 }), fc.nat({ max: 20 }), fc.constantFrom(...STRATEGY_TYPES), (places, count, type) => {
        const fleet = places.map((changes, index) => device(`d${String(index).padStart(2, '0')}`, changes));
        const need = {
          tenantId: null,
          deviceType: null,
          deviceId: null,
          minCpu: 2,
          minMemoryMB: 0,
          minStorageMB: 0,
          durationMinutes: 0,
          caps: NO_CAPS,
        };
        const wish = { providerType: null, region: 's', androidVersion: null, lastDeviceId: null, avoidDeviceIds: [] };
        const picked = new World(fleet, defaultStrategy(type)).pick(
          { requirement: need, preference: wish, rank: null, members: [] },
          count,
          new Set(),
        );
        const nodes = seated([...new Map(fleet.map((one) => [nodeKey(nodeOf(one)), nodeOf(one)])).values()]);
        const loads = new Map<string, NodeLoad>(nodes.map((node) => [nodeKey(node), { ...node, held: 0 }]));
        expect(picked.map(({ id }) => id)).toEqual(
          placeDevices(fleet, need, wish, type, loads)
            .slice(0, count)
            .map(({ id }) => id),
        );
      }),
    );
  });
});

describe('what ends', () => {
  it('comes the earliest first', () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), (times) => {
        const ends = createEnds();
        for (const atMs of times) ends.push({ atMs, userId: 'u', deviceId: 'd' });
        expect(times.map(() => ends.pop().atMs)).toEqual(times.toSorted((a, b) => a - b));
        expect(ends.earliest()).toBe(Infinity);
        expect(() => ends.pop()).toThrow('nothing is left');
      }),
    );
  });
});

describe('a request of a trace', () => {
  it('has defaults, and is used for its whole duration unless it says otherwise', () => {
    const traced = { userId: 'ann', atSeconds: 1.5, durationMinutes: 2 };
    expect(fromTrace(tracedRequest.parse(traced))).toMatchObject({ tier: 'standard', tenantId: null, atMs: 1_500, holdMs: 120_000 });
    expect(fromTrace(tracedRequest.parse({ ...traced, holdSeconds: 3 }))).toMatchObject({ holdMs: 3_000 });
  });
});
