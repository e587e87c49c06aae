import { describe, expect, test } from '@jest/globals';
import { clockWords, distanceWords, durationWords } from './time-words.ts';

const NOW = new Date('2030-05-17T12:00:00Z');
const later = (seconds: number) => new Date(NOW.getTime() + seconds * 1_000);

describe('times in words', () => {
  test.each([
    [0, '0 s'],
    [0.4, '0 s'],
    [59, '59 s'],
    [60, '1 min'],
    [90, '1 min 30 s'],
    [899, '14 min 59 s'],
    [925, '15 min'],
    [3_600, '1 h'],
    [5_400, '1 h 30 min'],
    [86_399, '23 h 59 min'],
    [90_000, '1 d 1 h'],
  ])('%d s are %s', (seconds, words) => {
    expect(durationWords(seconds)).toBe(words);
  });

  test.each([
    [0, 'now'],
    [30, 'in 30 s'],
    [-30, '30 s ago'],
    [719, 'in 12 min'],
    [7_199, 'in 2 h'],
    [-5_400, '1 h 30 min ago'],
  ])('%d s away is %s', (seconds, words) => {
    expect(distanceWords(later(seconds), NOW)).toBe(words);
  });

  test.each([
    [0, 'UTC', '12:00 UTC'],
    [0, 'Europe/Berlin', '14:00 CEST'],
    [86_400, 'UTC', '18 May 12:00 UTC'],
    [366 * 86_400, 'UTC', '18 May 2031 12:00 UTC'],
    [11 * 3_600, 'Europe/Berlin', '18 May 01:00 CEST'],
  ])('%d s later the clock in %s says %s', (seconds, zone, words) => {
    expect(clockWords(later(seconds), NOW, zone)).toBe(words);
  });
});
