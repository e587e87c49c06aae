import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { preferenceSteps } from './preference-steps.ts';
import { bestDevice, type Candidate, meets, preferenceScore, rankDevices } from './rank-devices.ts';
import { NO_CAPS, type Preference, type Requirement } from './requirement.ts';
import { resourceScore } from './resource-score.ts';

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

function device(changes: Partial<Candidate>): Candidate {
  return {
    id: 'a',
    tenantId: null,
    type: 'phone',
    providerType: 'redroid',
    region: 'north',
    androidVersion: '14',
    cpuCores: 4,
    memoryMB: 8192,
    storageMB: 65536,
    resourceScore: 100,
    ...changes,
  };
}

const candidate = fc.record({
  id: fc.uuid(),
  tenantId: fc.constantFrom(null, 't1', 't2'),
  type: fc.constantFrom('phone' as const, 'tablet' as const),
  providerType: fc.constantFrom('redroid', 'physical'),
  region: fc.constantFrom(null, 'north', 'south'),
  androidVersion: fc.constantFrom(null, '13', '14'),
  cpuCores: fc.integer({ min: 1, max: 16 }),
  memoryMB: fc.integer({ min: 1, max: 32_768 }),
  storageMB: fc.integer({ min: 1, max: 262_144 }),
  resourceScore: fc.integer({ min: 0, max: 5 }),
});

describe('hard filters', () => {
  it.each<[string, Partial<Candidate>, Partial<Requirement>]>([
    ['a device of another tenant', { tenantId: 'other' }, { tenantId: 'mine' }],
    ['a device of a tenant for a request of none', { tenantId: 'other' }, {}],
    ['another device than the one named', {}, { deviceId: 'b' }],
    ['another type', {}, { deviceType: 'tablet' }],
    ['too few cores', {}, { minCpu: 5 }],
    ['too little memory', {}, { minMemoryMB: 8193 }],
    ['too little storage', {}, { minStorageMB: 65537 }],
    ['more cores than the quota allows', {}, { caps: { ...NO_CAPS, cpuCores: 3 } }],
    ['more memory than the quota allows', {}, { caps: { ...NO_CAPS, memoryMB: 8191 } }],
    ['more storage than the quota allows', {}, { caps: { ...NO_CAPS, storageMB: 65535 } }],
  ])('rule out %s', (_name, changes, need) => {
    expect(meets(device(changes), { ...anything, ...need })).toBe(false);
  });

  it('let the devices of the own tenant and the shared ones pass', () => {
    expect(meets(device({ tenantId: 'mine' }), { ...anything, tenantId: 'mine' })).toBe(true);
    expect(meets(device({}), { ...anything, tenantId: 'mine' })).toBe(true);
  });
});

describe('ranking', () => {
  it('puts wishes before free capacity, and the heavier wish before all lighter ones together', () => {
    const wish = { ...noWish, region: 'south', providerType: 'physical', androidVersion: '13' };
    const south = device({ id: 's', region: 'south', resourceScore: 1 });
    const others = device({ id: 'o', providerType: 'physical', androidVersion: '13', resourceScore: 900 });
    expect(rankDevices([others, south], anything, wish).map(({ id }) => id)).toEqual(['s', 'o']);
  });

  it('prefers the device held last and leaves avoided ones for the end', () => {
    const wish = { ...noWish, lastDeviceId: 'b', avoidDeviceIds: ['c'] };
    const fleet = ['a', 'b', 'c'].map((id, index) => device({ id, resourceScore: index }));
    expect(rankDevices(fleet, anything, wish).map(({ id }) => id)).toEqual(['b', 'a', 'c']);
  });

  it('is a total order whose first is the best device', () => {
    fc.assert(
      fc.property(fc.array(candidate, { maxLength: 30 }), (fleet) => {
        const wish = { ...noWish, region: 'north', avoidDeviceIds: fleet.slice(0, 2).map(({ id }) => id) };
        const ranked = rankDevices(fleet, anything, wish);
        expect(rankDevices(fleet.toReversed(), anything, wish)).toEqual(ranked);
        expect(bestDevice(fleet, anything, wish)).toEqual(ranked[0]);
      }),
    );
  });

  it('is what taking devices step by step gives', () => {
    fc.assert(
      fc.property(fc.array(candidate, { maxLength: 30 }), fc.boolean(), (fleet, avoids) => {
        const wish: Preference = {
          providerType: 'physical',
          region: 'south',
          androidVersion: '13',
          lastDeviceId: fleet[3]?.id ?? null,
          avoidDeviceIds: avoids ? fleet.slice(0, 2).map(({ id }) => id) : [],
        };
        const taken: Candidate[] = [];
        for (const step of preferenceSteps(wish)) {
          const rest = fleet.filter(
            (one) => !taken.includes(one) && meets(one, anything) && [...step].every((part) => fulfils(one, wish, part)),
          );
          taken.push(...rankDevices(rest, anything, noWish));
        }
        expect(taken.map((one) => preferenceScore(one, wish))).toEqual(
          rankDevices(fleet, anything, wish).map((one) => preferenceScore(one, wish)),
        );
        expect(taken).toEqual(rankDevices(fleet, anything, wish));
      }),
    );
  });
});

function fulfils(one: Candidate, wish: Preference, part: string): boolean {
  if (part === 'notAvoided') return !wish.avoidDeviceIds.includes(one.id);
  if (part === 'lastDevice') return wish.lastDeviceId === one.id;
  if (part === 'region') return wish.region === one.region;
  if (part === 'provider') return wish.providerType === one.providerType;
  return wish.androidVersion === one.androidVersion;
}

describe('resource score', () => {
  it('falls with use and rises with size', () => {
    const idle = { cpuCores: 8, memoryMB: 16_384, storageMB: 131_072, cpuUsage: 0, memoryUsage: 0, storageUsage: 0 };
    expect(resourceScore(idle)).toBeCloseTo(100);
    expect(resourceScore({ ...idle, cpuUsage: 50 })).toBeCloseTo(80);
    expect(resourceScore({ ...idle, memoryUsage: 100, storageUsage: 100 })).toBeCloseTo(40);
  });
});
