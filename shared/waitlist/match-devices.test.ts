import { describe, expect, it } from '@jest/globals';
import { type FreeDevice, matchDevices, type Waiter } from './match-devices.ts';
import { UNBOUNDED } from './needs.ts';

const device = (id: string, changes: Partial<FreeDevice> = {}): FreeDevice => ({
  id,
  tenantId: null,
  type: 'phone',
  providerType: 'redroid',
  region: null,
  androidVersion: null,
  cpuCores: 4,
  memoryMB: 4_096,
  storageMB: 65_536,
  resourceScore: 4,
  freeMinutes: Infinity,
  ...changes,
});

const waiter = (requestId: string, changes: Partial<Waiter> = {}): Waiter => ({
  requestId,
  rank: new Date(1_000),
  tenantId: null,
  needs: [0, 0, 0, 0, UNBOUNDED, UNBOUNDED, UNBOUNDED],
  wantedDevice: null,
  durationMinutes: 60,
  preference: { providerType: null, region: null, androidVersion: null, lastDeviceId: null, avoidDeviceIds: [] },
  ...changes,
});

const who = (devices: readonly FreeDevice[], waiters: readonly Waiter[]) =>
  matchDevices(devices, waiters).map((match) => [match.waiter.requestId, match.device.id]);

describe('a free device', () => {
  it('goes to the first by rank, the id among equals', () => {
    expect(who([device('d')], [waiter('b', { rank: new Date(2_000) }), waiter('c'), waiter('a')])).toEqual([['a', 'd']]);
  });

  it('goes past those it does not suit', () => {
    const tablet = waiter('tablet', { rank: new Date(0), needs: [2, 0, 0, 0, UNBOUNDED, UNBOUNDED, UNBOUNDED] });
    const big = waiter('big', { rank: new Date(1), needs: [0, 8, 0, 0, UNBOUNDED, UNBOUNDED, UNBOUNDED] });
    const capped = waiter('capped', { rank: new Date(2), needs: [0, 0, 0, 0, 2, UNBOUNDED, UNBOUNDED] });
    const long = waiter('long', { rank: new Date(3), durationMinutes: 90 });
    const other = waiter('other', { rank: new Date(4), wantedDevice: 'e' });
    const all = [tablet, big, capped, long, other, waiter('last')];
    expect(who([device('d', { freeMinutes: 60 })], all)).toEqual([['last', 'd']]);
    expect(who([device('t', { type: 'tablet' })], all)).toEqual([['tablet', 't']]);
    expect(who([device('e')], [other])).toEqual([['other', 'e']]);
  });

  it('of a tenant goes to that tenant only', () => {
    expect(who([device('d', { tenantId: 'a' })], [waiter('x'), waiter('y', { tenantId: 'b' }), waiter('z', { tenantId: 'a' })])).toEqual([
      ['z', 'd'],
    ]);
  });
});

describe('of several free devices', () => {
  it('each takes the one it wishes for, else the smallest', () => {
    const devices = [device('large', { resourceScore: 9, region: 'north' }), device('small', { resourceScore: 1 })];
    expect(who(devices, [waiter('a')])).toEqual([['a', 'small']]);
    const north = { ...waiter('a').preference, region: 'north' };
    expect(who(devices, [waiter('a', { preference: north }), waiter('b', { rank: new Date(2_000) })])).toEqual([
      ['a', 'large'],
      ['b', 'small'],
    ]);
  });
});
