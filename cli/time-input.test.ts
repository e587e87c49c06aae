import { describe, expect, test } from '@jest/globals';
import { instant, minutes } from './time-input.ts';

describe('a time on the command line', () => {
  test.each([
    ['90', 90],
    ['90m', 90],
    ['90 min', 90],
    ['2h', 120],
    ['1h30m', 90],
    ['1.5h', 90],
    ['1d', 1_440],
  ])('%s is %d minutes', (text, expected) => {
    expect(minutes(text)).toBe(expected);
  });

  test.each(['', '0', '-5', 'soon', '30s', '1h30', '0.5', '1.2m', '5 5'])('%j is no duration', (text) => {
    expect(() => minutes(text)).toThrow('whole minutes');
  });

  test('is an instant with its offset, or a distance', () => {
    expect(instant('2030-05-17T09:00:00+02:00')).toBe('2030-05-17T07:00:00.000Z');
    expect(new Date(instant('+2h')).getTime() / 60_000).toBeCloseTo(Date.now() / 60_000 + 120, 0);
    for (const text of ['2030-05-17', '2030-05-17 09:00', '2030-05-17T09:00:00', 'tomorrow', '+soon'])
      expect(() => instant(text)).toThrow();
  });
});
