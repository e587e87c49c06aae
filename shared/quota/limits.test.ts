import { describe, expect, it } from '@jest/globals';
import { decideLimits, limitsOf } from './decide-limits.ts';
import { type Limits, largestFitting, limitHit, NO_USE, useWith } from './limits.ts';
import type { Quota } from './quota.ts';

const none: Limits = {
  maxDevices: null,
  maxCpuPerDevice: null,
  maxMemoryMBPerDevice: null,
  maxStorageMBPerDevice: null,
  totalCpu: null,
  totalMemoryMB: null,
  totalStorageMB: null,
};
const size = { cpuCores: 4, memoryMB: 4096, storageMB: 8192 };
const now = new Date('2026-01-01T00:00:00Z');
const closed = { quotaAllowOnError: false, fallbackMaxDevices: 3, billingAllowOnError: true };

function quota(changes: Partial<Quota>): Quota {
  return { status: 'active', limits: {}, usage: null, validFrom: null, validUntil: null, ...changes } as Quota;
}

describe('limits', () => {
  it.each<[string, Partial<Limits>, object]>([
    ['maxDevices', { maxDevices: 1 }, { max: 1, current: 1 }],
    ['maxCpuCoresPerDevice', { maxCpuPerDevice: 3 }, { max: 3, current: 0 }],
    ['maxMemoryMBPerDevice', { maxMemoryMBPerDevice: 4095 }, { max: 4095, current: 0 }],
    ['maxStorageMBPerDevice', { maxStorageMBPerDevice: 1 }, { max: 1, current: 0 }],
    ['totalCpuCores', { totalCpu: 7 }, { max: 7, current: 4 }],
    ['totalMemoryMB', { totalMemoryMB: 8191 }, { max: 8191, current: 4096 }],
    ['totalStorageMB', { totalStorageMB: 16383 }, { max: 16383, current: 8192 }],
  ])('name %s when one more device would pass it', (limit, limits, rest) => {
    expect(limitHit({ ...none, ...limits }, useWith(NO_USE, size), size)).toEqual({ limit, ...rest });
  });

  it('are checked in the order of the platform', () => {
    const all: Limits = {
      maxDevices: 0,
      maxCpuPerDevice: 0,
      maxMemoryMBPerDevice: 0,
      maxStorageMBPerDevice: 0,
      totalCpu: 0,
      totalMemoryMB: 0,
      totalStorageMB: 0,
    };
    expect(limitHit(all, NO_USE, size)?.limit).toBe('maxDevices');
    expect(limitHit({ ...all, maxDevices: null }, NO_USE, size)?.limit).toBe('maxCpuCoresPerDevice');
  });

  it('that are missing or exactly reached let a device pass', () => {
    expect(limitHit(none, NO_USE, size)).toBeUndefined();
    expect(limitHit({ ...none, maxDevices: 2, totalCpu: 8 }, useWith(NO_USE, size), size)).toBeUndefined();
  });

  it('leave room for the smaller of what one device and what all together may take', () => {
    expect(largestFitting({ ...none, maxCpuPerDevice: 8, totalCpu: 10, totalMemoryMB: 5000 }, useWith(NO_USE, size))).toEqual({
      cpuCores: 6,
      memoryMB: 904,
      storageMB: Infinity,
    });
  });
});

describe('the limits in force', () => {
  it('are those of the quota, GB in MB, missing and negative ones unlimited', () => {
    const limits = { maxDevices: 5, maxConcurrentDevices: 3, maxStorageGBPerDevice: 2, totalMemoryGB: -1, totalStorageGB: 10 };
    expect(limitsOf(quota({ limits }))).toEqual({ ...none, maxDevices: 3, maxStorageMBPerDevice: 2048, totalStorageMB: 10_240 });
    expect(limitsOf(quota({ limits: { maxConcurrentDevices: 2 } })).maxDevices).toBe(2);
  });

  it.each<[string, Partial<Quota>, string]>([
    ['suspended', { status: 'suspended' }, 'USER_SUSPENDED'],
    ['exceeded', { status: 'exceeded', limits: { maxDevices: 2 }, usage: { currentDevices: 2 } }, 'QUOTA_EXCEEDED'],
    ['exceeded without figures', { status: 'exceeded' }, 'QUOTA_EXCEEDED'],
    ['expired', { status: 'expired' }, 'QUOTA_EXPIRED'],
    ['not yet valid', { validFrom: '2026-01-01T00:00:00.001Z' }, 'QUOTA_EXPIRED'],
    ['no longer valid', { validUntil: '2026-01-01T00:00:00.000Z' }, 'QUOTA_EXPIRED'],
  ])('refuse a quota that is %s', (_name, changes, code) => {
    expect(decideLimits({ kind: 'known', quota: quota(changes), stale: false }, null, closed, now)).toMatchObject({
      kind: 'refused',
      refusal: { code },
    });
  });

  it('refuse a user without a quota, and everybody on an outage unless told otherwise', () => {
    expect(decideLimits({ kind: 'none' }, null, closed, now)).toMatchObject({ refusal: { code: 'QUOTA_NOT_FOUND' } });
    expect(decideLimits({ kind: 'unavailable', reason: 'down' }, none, closed, now)).toMatchObject({
      refusal: { code: 'QUOTA_UNAVAILABLE' },
    });
  });

  it('are the last known ones on an outage when that is allowed, else the fallback', () => {
    const open = { ...closed, quotaAllowOnError: true };
    expect(decideLimits({ kind: 'unavailable', reason: 'down' }, { ...none, maxDevices: 9 }, open, now)).toEqual({
      kind: 'limits',
      limits: { ...none, maxDevices: 9 },
      unchecked: true,
    });
    expect(decideLimits({ kind: 'unavailable', reason: 'down' }, null, open, now)).toMatchObject({
      limits: { maxDevices: 3 },
      unchecked: true,
    });
    expect(decideLimits({ kind: 'known', quota: quota({}), stale: true }, null, open, now)).toMatchObject({ unchecked: true });
  });
});
