import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { recurrence } from './asked-reservation.ts';
import { occurrenceAt, occurrencesBefore } from './occurrences.ts';
import { instantOf, isTimeZone, wallTimeAt } from './wall-clock.ts';

const rule = (said: object) => recurrence.parse({ frequency: 'daily', timeZone: 'Europe/Berlin', count: 10, ...said });
const starts = (first: string, said: object, most = 10) =>
  occurrencesBefore(new Date('2100-01-01T00:00:00Z'), new Date(first), rule(said), 0, most).occurrences.map(({ startsAt }) =>
    startsAt.toISOString(),
  );

describe('a series keeps the time of the clock', () => {
  test('over the night in spring in which an hour is skipped', () => {
    // 29 March 2026, 02:00 CET becomes 03:00 CEST.
    expect(starts('2026-03-28T08:00:00Z', { count: 3 })).toEqual([
      '2026-03-28T08:00:00.000Z',
      '2026-03-29T07:00:00.000Z',
      '2026-03-30T07:00:00.000Z',
    ]);
  });

  test('and goes on an hour later where the clock skips its time', () => {
    expect(starts('2026-03-28T01:30:00Z', { count: 3 })).toEqual([
      '2026-03-28T01:30:00.000Z',
      '2026-03-29T01:30:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ]);
  });

  test('over the night in autumn in which an hour comes twice, at the first of the two', () => {
    // 25 October 2026, 03:00 CEST becomes 02:00 CET.
    expect(starts('2026-10-24T00:30:00Z', { count: 3 })).toEqual([
      '2026-10-24T00:30:00.000Z',
      '2026-10-25T00:30:00.000Z',
      '2026-10-26T01:30:00.000Z',
    ]);
  });

  test('of zones half an hour apart and on the other side of the date line', () => {
    // Lord Howe changes by half an hour: 4 October 2026, 02:00 becomes 02:30.
    expect(starts('2026-10-03T02:00:00Z', { count: 2, timeZone: 'Australia/Lord_Howe' })).toEqual([
      '2026-10-03T02:00:00.000Z',
      '2026-10-04T01:30:00.000Z',
    ]);
    expect(starts('2026-01-01T00:00:00Z', { count: 2, timeZone: 'Pacific/Kiritimati' })[1]).toBe('2026-01-02T00:00:00.000Z');
  });

  test('by weeks, with an interval, up to and with an end', () => {
    expect(starts('2026-03-16T09:00:00Z', { frequency: 'weekly', interval: 2, count: undefined, until: '2026-04-13T08:00:00Z' })).toEqual([
      '2026-03-16T09:00:00.000Z',
      '2026-03-30T08:00:00.000Z',
      '2026-04-13T08:00:00.000Z',
    ]);
  });
});

describe('the occurrences before a horizon', () => {
  test('say which one comes after it, or that there is none', () => {
    const first = new Date('2026-01-01T10:00:00Z');
    const some = occurrencesBefore(new Date('2026-01-04T00:00:00Z'), first, rule({ count: 5 }), 1);
    expect(some.occurrences.map(({ index }) => index)).toEqual([1, 2]);
    expect(some.next).toEqual({ index: 3, startsAt: new Date('2026-01-04T10:00:00Z') });
    expect(occurrencesBefore(new Date('2026-02-01T00:00:00Z'), first, rule({ count: 5 }), 3).next).toBeUndefined();
    expect(occurrenceAt(first, rule({ count: 5 }), 5)).toBeUndefined();
  });

  test('need exactly one end, and a zone that exists', () => {
    const base = { frequency: 'daily', timeZone: 'Europe/Berlin' };
    expect(recurrence.safeParse(base).success).toBe(false);
    expect(recurrence.safeParse({ ...base, count: 2, until: '2026-01-01T00:00:00Z' }).success).toBe(false);
    expect(recurrence.safeParse({ ...base, count: 2, timeZone: 'Mars/Olympus' }).success).toBe(false);
    expect(isTimeZone('Mars/Olympus')).toBe(false);
  });
});

describe('the clock on the wall', () => {
  const zone = fc.constantFrom(
    'UTC',
    'Europe/Berlin',
    'America/New_York',
    'Australia/Lord_Howe',
    'Asia/Kathmandu',
    'Pacific/Apia',
    'America/St_Johns',
  );
  // Bookings lie ahead of us; before 2012 Samoa went without a whole day, and two days of a series fall together there.
  const instant = fc.date({ min: new Date('2012-01-01T00:00:00Z'), max: new Date('2035-01-01T00:00:00Z'), noInvalidDate: true });

  test('shows for every instant a time that leads back to it, or to the first of the two that look alike', () => {
    fc.assert(
      fc.property(instant, zone, (at, timeZone) => {
        const back = instantOf(wallTimeAt(at, timeZone), timeZone);
        expect(wallTimeAt(back, timeZone)).toEqual(wallTimeAt(at, timeZone));
        expect(back.getTime()).toBeLessThanOrEqual(at.getTime());
        expect(at.getTime() - back.getTime()).toBeLessThanOrEqual(3_600_000);
      }),
    );
  });

  test('makes each day of a series later than the one before', () => {
    fc.assert(
      fc.property(instant, zone, (first, timeZone) => {
        const times = occurrencesBefore(new Date('2100-01-01'), first, rule({ timeZone, count: 400 }), 0).occurrences.map(({ startsAt }) =>
          startsAt.getTime(),
        );
        expect(
          times.every((time, index) => index === 0 || (time > (times[index - 1] ?? 0) && time - (times[index - 1] ?? 0) < 50 * 3_600_000)),
        ).toBe(true);
      }),
      { numRuns: 30 },
    );
  });
});
