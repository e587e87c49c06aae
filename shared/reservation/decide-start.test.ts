import { describe, expect, test } from '@jest/globals';
import { END_REASONS } from '../allocation/end-reason.ts';
import { NO_USE } from '../quota/limits.ts';
import { decideChange } from './decide-change.ts';
import { decideReserve } from './decide-reserve.ts';
import { decideStart, decideWithoutDevice } from './decide-start.ts';
import { mayBecome, RESERVATION_STATUSES, statusAfterEnd } from './reservation.ts';

const none = {
  maxDevices: null,
  maxCpuPerDevice: null,
  maxMemoryMBPerDevice: null,
  maxStorageMBPerDevice: null,
  totalCpu: null,
  totalMemoryMB: null,
  totalStorageMB: null,
};
const eligible = { kind: 'eligible', limits: none, quotaUnchecked: false, balanceUnchecked: false } as const;
const refused = (code: 'QUOTA_EXCEEDED' | 'USER_SUSPENDED' | 'QUOTA_UNAVAILABLE') =>
  ({ kind: 'refused', refusal: { code, reason: 'r' } }) as const;
const free = { state: 'free', size: { cpuCores: 4, memoryMB: 1, storageMB: 1 } } as const;
const facts = { eligibility: eligible, device: free, use: NO_USE, patienceOver: false };

describe('a due reservation', () => {
  test('begins on its own device, on another when that is not free or has become too large', () => {
    expect(decideStart(facts)).toEqual({ kind: 'start' });
    expect(decideStart({ ...facts, device: { state: 'gone' } })).toEqual({ kind: 'swap' });
    expect(decideStart({ ...facts, device: { state: 'busy' } })).toEqual({ kind: 'swap' });
    expect(decideStart({ ...facts, eligibility: { ...eligible, limits: { ...none, maxCpuPerDevice: 2 } } })).toEqual({ kind: 'swap' });
  });

  test('fails when the balance must cover the window and does not, but only for a device it would get', () => {
    const unpaid = { code: 'INSUFFICIENT_BALANCE', reason: 'r' } as const;
    expect(decideStart({ ...facts, unpaid })).toEqual({ kind: 'fail', refusal: unpaid });
    expect(decideStart({ ...facts, unpaid, device: { state: 'busy' } })).toEqual({ kind: 'swap' });
  });

  test('waits for what may pass, until patience is over, and fails for what may not', () => {
    for (const code of ['QUOTA_EXCEEDED', 'QUOTA_UNAVAILABLE'] as const) {
      expect(decideStart({ ...facts, eligibility: refused(code) })).toMatchObject({ kind: 'later', refusal: { code } });
      expect(decideStart({ ...facts, eligibility: refused(code), patienceOver: true })).toMatchObject({ kind: 'fail' });
    }
    expect(decideStart({ ...facts, eligibility: refused('USER_SUSPENDED') })).toMatchObject({ kind: 'fail' });
  });

  test('without any device waits for its own if that will be free, else goes to the waiting queue', () => {
    expect(decideWithoutDevice({ state: 'busy' }, false).kind).toBe('later');
    expect(decideWithoutDevice({ state: 'busy' }, true).kind).toBe('hand-over');
    expect(decideWithoutDevice({ state: 'gone' }, false).kind).toBe('hand-over');
  });

  test('that was decided before is a fault', () => {
    expect(() => decideStart({ ...facts, eligibility: { kind: 'settled' } })).toThrow('settled');
  });
});

describe('the states', () => {
  test('that are final lead nowhere, and nothing leads to itself', () => {
    for (const from of RESERVATION_STATUSES) expect(mayBecome(from, from)).toBe(false);
    for (const last of ['completed', 'failed', 'cancelled', 'expired'] as const)
      expect(RESERVATION_STATUSES.some((to) => mayBecome(last, to))).toBe(false);
  });

  test('allow a change only before it has begun', () => {
    expect(RESERVATION_STATUSES.filter((status) => decideChange(status) === undefined)).toEqual(['pending', 'confirmed']);
    expect(decideChange('executing')).toMatchObject({ code: 'STATE_CONFLICT', details: { status: 'executing' } });
  });

  test('after the end of the allocation are completed, unless the device was taken from the holder', () => {
    const failed = END_REASONS.filter((reason) => statusAfterEnd(reason) === 'failed');
    expect(failed.toSorted()).toEqual(['device_deleted', 'device_failed', 'device_maintenance', 'no_show']);
  });
});

describe('a wish', () => {
  const wish = { now: new Date(1_000), user: { state: 'active', inArrears: false }, startsAt: new Date(2_000), ownConflicts: [] } as const;

  test('is refused for the first of: the past, a block, a conflict of the own', () => {
    const conflict = { reservationId: 'r', from: new Date(1_500), to: new Date(2_500) };
    const all = { ...wish, startsAt: new Date(1_000), user: { state: 'deleted', inArrears: true }, ownConflicts: [conflict] } as const;
    expect(decideReserve(all)).toMatchObject({ refusal: { code: 'VALIDATION_FAILED' } });
    expect(decideReserve({ ...all, startsAt: wish.startsAt })).toMatchObject({ refusal: { code: 'USER_DELETED' } });
    expect(decideReserve({ ...wish, user: { state: 'active', inArrears: true } })).toMatchObject({
      refusal: { code: 'ACCOUNT_IN_ARREARS' },
    });
    expect(decideReserve({ ...wish, ownConflicts: [conflict] })).toMatchObject({ refusal: { code: 'RESERVATION_CONFLICT' } });
    expect(decideReserve(wish)).toEqual({ kind: 'eligible' });
  });
});
