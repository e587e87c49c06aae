import { describe, expect, it } from '@jest/globals';
import { estimateStart, KEPT_TO_THE_END } from './estimate-start.ts';
import { waitReason } from './wait-reason.ts';

const now = new Date('2026-01-01T10:00:00Z');
const inMinutes = (minutes: number) => new Date(now.getTime() + minutes * 60_000);
const lease = (from: number, to: number) => ({ allocatedAt: inMinutes(from), expiresAt: inMinutes(to) });

describe('the expected start', () => {
  const running = [lease(-30, 30), lease(-50, 10), lease(-40, 20)];

  it('is the end of as many leases as the position says', () => {
    for (const [position, minutes] of [
      [1, 10],
      [2, 20],
      [3, 30],
    ] as const) {
      expect(estimateStart(position, running, KEPT_TO_THE_END, now)).toEqual({ p50: inMinutes(minutes), p90: inMinutes(minutes) });
    }
  });

  it('is earlier when devices were given back early lately', () => {
    expect(estimateStart(1, running, { p50: 0.5, p90: 0.9 }, now)).toEqual({ p50: inMinutes(5), p90: inMinutes(9) });
  });

  it('goes round again behind more people than there are devices', () => {
    expect(estimateStart(4, running, KEPT_TO_THE_END, now)?.p50).toEqual(inMinutes(70));
  });

  it('is now for what is over, and unknown when nothing runs', () => {
    expect(estimateStart(1, [lease(-60, -1)], KEPT_TO_THE_END, now)?.p50).toEqual(now);
    expect(estimateStart(1, [], KEPT_TO_THE_END, now)).toBeUndefined();
  });
});

describe('the reason to wait', () => {
  const none = { any: true, held: false, free: false, reserved: false, cleaning: false, draining: false };

  it('is the one nearest to its end', () => {
    expect(waitReason('QUOTA_USER', none)).toBe('QUOTA_USER');
    expect(waitReason('BALANCE', none)).toBe('BALANCE');
    expect(waitReason(null, { ...none, any: false })).toBe('NO_MATCH');
    expect(waitReason(null, { ...none, held: true, free: true })).toBe('PRIORITY');
    expect(waitReason(null, { ...none, held: true, reserved: true })).toBe('RESERVED_SOON');
    expect(waitReason(null, { ...none, held: true, cleaning: true })).toBe('CLEANING');
    expect(waitReason('FAULT', { ...none, held: true })).toBe('POOL_BUSY');
    expect(waitReason(null, { ...none, draining: true })).toBe('DRAINING');
    expect(waitReason(null, none)).toBe('NO_MATCH');
  });
});
