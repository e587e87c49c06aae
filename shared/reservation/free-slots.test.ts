import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Busy, nextFreeSlots } from './free-slots.ts';

const MINUTE = 60_000;
const at = (minutes: number) => new Date(minutes * MINUTE);
const busy = (...ranges: [from: number, to: number][]): Busy[] => ranges.map(([from, to]) => ({ from: at(from), to: at(to) }));
const ask = (changes: object = {}) => ({ from: at(100), durationMinutes: 60, gapSeconds: 0, most: 3, ...changes });
const startsOf = (slots: readonly { startsAt: Date }[]) => slots.map(({ startsAt }) => startsAt.getTime() / MINUTE);

describe('the next free slots', () => {
  test('lie between what is taken, earliest first, over all devices', () => {
    const calendars = [
      { deviceId: 'a', busy: busy([90, 150], [210, 300]) },
      { deviceId: 'b', busy: busy([0, 170]) },
    ];
    const slots = nextFreeSlots(calendars, [], ask());
    expect(slots.map(({ deviceId, startsAt }) => [deviceId, startsAt.getTime() / MINUTE])).toEqual([
      ['a', 150],
      ['b', 170],
      ['a', 300],
    ]);
  });

  test('keep the gap, and start at full minutes', () => {
    expect(startsOf(nextFreeSlots([{ deviceId: 'a', busy: busy([90, 150.5], [215, 300]) }], [], ask({ gapSeconds: 300 })))).toEqual([300]);
    expect(startsOf(nextFreeSlots([{ deviceId: 'a', busy: busy([90, 150.5]) }], [], ask()))).toEqual([151]);
  });

  test('pass over what the user has reserved elsewhere', () => {
    expect(startsOf(nextFreeSlots([{ deviceId: 'a', busy: [] }], busy([120, 180]), ask()))).toEqual([180]);
  });

  test('are none where there is no device', () => {
    expect(nextFreeSlots([], [], ask())).toEqual([]);
  });

  const range = fc
    .tuple(fc.integer({ min: 0, max: 600 }), fc.integer({ min: 1, max: 120 }))
    .map(([from, length]): [number, number] => [from, from + length]);
  const ranges = fc.array(range, { maxLength: 12 });

  test('are really free, and the first is the earliest there is, like trying every minute', () => {
    fc.assert(
      fc.property(
        fc.array(ranges, { minLength: 1, maxLength: 4 }),
        ranges,
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 0, max: 10 }),
        (devices, own, minutes, gap) => {
          const fits = (taken: [number, number][], start: number, length: number) =>
            taken.every(([from, to]) => start >= to || start + length <= from);
          const free = (start: number) => fits(own, start, minutes) && devices.some((taken) => fits(taken, start, minutes + gap));
          const calendars = devices.map((taken, index) => ({ deviceId: String(index), busy: busy(...taken) }));
          const starts = startsOf(nextFreeSlots(calendars, busy(...own), ask({ durationMinutes: minutes, gapSeconds: gap * 60 })));
          let earliest = 100;
          while (!free(earliest)) earliest += 1;
          expect(starts[0]).toBe(earliest);
          expect(starts.every(free)).toBe(true);
          expect(starts).toEqual([...new Set(starts)].toSorted((a, b) => a - b));
        },
      ),
    );
  });
});
