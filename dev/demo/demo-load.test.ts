import { describe, expect, test } from '@jest/globals';
import { agree } from './finding.ts';
import { makeUpLoad } from './made-up-load.ts';
import { readDemoOptions } from './options.ts';
import { brokenOf, figures, happened, standIns } from './run-that-holds.ts';
import { createSlots } from './slots.ts';
import { percentile } from './tally.ts';

describe('the made-up load', () => {
  test('is the same for the same seed, in order, and another for another', () => {
    const load = [...makeUpLoad(500, 7)];
    expect([...makeUpLoad(500, 7)]).toEqual(load);
    expect([...makeUpLoad(500, 8)]).not.toEqual(load);
    expect(load.map(({ atMs }) => atMs)).toEqual(load.map(({ atMs }) => atMs).toSorted((a, b) => a - b));
    expect(new Set(load.map(({ id }) => id)).size).toBe(500);
    expect(new Set(load.map(({ way }) => way)).size).toBe(2);
  });

  test('wants more devices at once than there are', () => {
    const load = [...makeUpLoad(5_000, 1)];
    const wanted = load.filter(
      ({ atMs, afterwards }) => atMs < 40_000 && (afterwards.kind !== 'release' || atMs + afterwards.afterMs > 40_000),
    );
    expect(wanted.length).toBeGreaterThan(1_000);
  });
});

describe('the command line of the demo', () => {
  test('has defaults that depend on whether a recording is replayed', () => {
    expect(readDemoOptions(['--seed', '3'])).toEqual({
      keep: false,
      trace: undefined,
      seed: 3,
      devices: 1_000,
      limit: 5_000,
      speed: undefined,
    });
    expect(readDemoOptions(['--trace', 'a.swf', '--speed', '2.5', '--keep'])).toMatchObject({
      keep: true,
      devices: 2_000,
      limit: Infinity,
      speed: 2.5,
    });
  });

  test.each([
    [['--seed', '-1'], 'argument'],
    [['--limit', '1.5'], '--limit must be a whole number from 1, it is 1.5'],
    [['--trace', 'x', '--speed', '0'], '--speed must be a number above 0, it is 0'],
    [['--speed', '2'], '--speed is for --trace'],
    [['--nonsense'], "Unknown option '--nonsense'"],
  ])('%j is refused in one sentence with the usage', (words, sentence) => {
    expect(() => readDemoOptions(words)).toThrow(sentence);
    expect(() => readDemoOptions(words)).toThrow('npm run demo [--');
  });
});

describe('slots', () => {
  test('let in so many at once, the others in order, also after a failure', async () => {
    const slots = createSlots(2);
    const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    const entered: number[] = [];
    const calls = gates.map(({ promise }, index) =>
      slots.use(() => {
        entered.push(index);
        return promise;
      }),
    );
    expect(entered).toEqual([0, 1]);
    gates[1]?.reject(new Error('no'));
    await expect(calls[1]).rejects.toThrow('no');
    expect(entered).toEqual([0, 1, 2]);
    for (const gate of gates) gate.resolve();
    await Promise.allSettled(calls);
    expect(entered).toEqual([0, 1, 2, 3]);
  });
});

describe('the comparison at the end', () => {
  test('holds when callers, store, neighbours and broker agree', () => {
    expect(brokenOf({})).toEqual([]);
    expect(brokenOf({ events: undefined, replaced: undefined })).toEqual([]);
  });

  test.each([
    ['every request came to one end', { tally: { ...happened, faults: ['lost'] } }],
    ['callers and store agree on every grant', { tally: { ...happened, allocations: new Set(['a', 'c']) } }],
    ['callers and store agree on every extension', { tally: { ...happened, extended: 1 } }],
    ['a repeated call got the same answer', { tally: { ...happened, differed: 1 } }],
    ['billing received each ended lease once, to the second', { standIns: { ...standIns, billing: { ...standIns.billing, seconds: 10 } } }],
    ['reported usage nets to the leases that live', { standIns: { ...standIns, user: { ...standIns.user, negative: 1 } } }],
    [
      'every notice reached the notification-service once',
      { standIns: { ...standIns, notification: { ...standIns.notification, sent: 1 } } },
    ],
    ['every event was published and received', { events: { arrived: new Map() } }],
    ['nothing was given up', { figures: { ...figures, dead: 1 } }],
    ['the killed worker was replaced', { replaced: false }],
  ])('is broken when it is not so that %s', (name, changes) => {
    expect(brokenOf(changes)).toEqual([name]);
  });

  test('tells all sides, and of what has to be none and is none only that', () => {
    const compared = [
      ['leases', 1_200, 1_200, 1_200],
      ['lost', 0, 0],
    ] as const;
    expect(agree('a', compared)).toEqual({ name: 'a', ok: true, seen: 'leases 1,200 = 1,200 = 1,200, lost 0' });
    expect(agree('a', [['lost', 0, 0, 1]])).toEqual({ name: 'a', ok: false, seen: 'lost 0 = 0 = 1' });
  });

  test('counts percentiles by rank', () => {
    expect(percentile([], 0.5)).toBeUndefined();
    expect(percentile([3, 1, 2], 0.5)).toBe(2);
    expect(percentile([3, 1, 2], 1)).toBe(3);
  });
});
