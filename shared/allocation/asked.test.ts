import { describe, expect, test } from '@jest/globals';
import { askedAllocation, withoutDefaults } from './asked.ts';
import { partyId } from './party-id.ts';

const DEFAULTS = { durationMinutes: 60, queueIfBusy: false, maxWaitMinutes: 30, autoExtend: false };
const FULL = {
  durationMinutes: 5,
  preferredSpecs: { minCpu: 2, minMemory: 4_096, minStorage: 0 },
  devicePreferences: {
    deviceType: 'tablet',
    providerType: 'redroid',
    region: 'eu',
    androidVersion: '14',
    deviceId: '00000000-0000-0000-0000-000000000001',
    avoidDeviceIds: ['00000000-0000-0000-0000-000000000002'],
    sameDeviceAsLast: true,
  },
  queueIfBusy: true,
  maxWaitMinutes: 120,
  heartbeatSeconds: 10,
  autoExtend: true,
};

describe('what is asked for', () => {
  test('may be nothing in particular', () => {
    expect(askedAllocation.parse({})).toEqual(DEFAULTS);
  });

  test('may be everything', () => {
    expect(askedAllocation.parse(FULL)).toEqual(FULL);
  });

  test.each([
    { durationMinutes: 0 },
    { durationMinutes: 1_441 },
    { durationMinutes: 1.5 },
    { durationMinutes: '45' },
    { durationMinutes: null },
    { maxWaitMinutes: 121 },
    { heartbeatSeconds: 9 },
    { queueIfBusy: 'yes' },
    { preferredSpecs: { minCpu: -1 } },
    { preferredSpecs: { cores: 1 } },
    { devicePreferences: { deviceType: 'watch' } },
    { devicePreferences: { deviceId: 'mine' } },
    { devicePreferences: { avoidDeviceIds: Array.from({ length: 101 }, () => FULL.devicePreferences.deviceId) } },
    { waitMs: 5 },
  ])('is refused as %j', (asked) => {
    expect(askedAllocation.safeParse(asked).success).toBe(false);
  });

  test.each([[{}], [{ durationMinutes: 60 }], [FULL]])('is the same without its defaults (%#)', (asked) => {
    const wish = askedAllocation.parse(asked);
    const short = withoutDefaults(wish);
    expect(askedAllocation.parse(JSON.parse(JSON.stringify(short)))).toEqual(wish);
  });

  test('is short without its defaults', () => {
    expect(withoutDefaults(askedAllocation.parse({ queueIfBusy: true }))).toEqual({ queueIfBusy: true });
  });
});

describe('the id of a user or tenant', () => {
  test.each(['a', 'x'.repeat(128), '用户 1', '📱', "Robert'); --"])('may be %j', (id) => {
    expect(partyId.parse(id)).toBe(id);
  });

  test.each(['', 'x'.repeat(129), 'a\u0000b', 'line\nbreak', '\u007f', 'a\ud800', 7])('may not be %j', (id) => {
    expect(partyId.safeParse(id).success).toBe(false);
  });
});
