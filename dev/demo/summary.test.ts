import { describe, expect, test } from '@jest/globals';
import { bar } from './amounts.ts';
import { compareOutcome } from './compare.ts';
import { type Paper, paperOf, verdict, wrap } from './paper.ts';
import { progressLine } from './progress.ts';
import { happened, outcome } from './run-that-holds.ts';
import { summarise } from './summary.ts';
import { createTally } from './tally.ts';

const facts = {
  seconds: 1.25,
  devices: 10,
  killed: { name: 'allocation-1', downMs: 12_345 },
  warnings: 0,
  logFile: 'log',
  withoutEvents: undefined,
  invariants: [{ name: 'one live allocation per device', ok: true, seen: '' }],
};
const plain = (columns: number): Paper => ({ columns, colours: false });
/** The space between a number and its unit, which does not break, as a usual one. */
const usual = (text: string) => text.replaceAll('\u00a0', ' ');
const summary = (columns: number) => usual(summarise(outcome, compareOutcome(outcome), facts, plain(columns)));

describe('the summary', () => {
  test.each([60, 79, 100, 118])('fits a paper of %i columns', (columns) => {
    const lines = summary(columns).split('\n');
    expect(lines.filter((line) => line.length > columns)).toEqual([]);
    expect(lines.length).toBeGreaterThan(50);
  });

  test('has a row for each part of the life of a lease', () => {
    const text = summary(118);
    for (const row of [
      'booked ahead            40  40 begun, at most 100 ms after their time',
      'extended by themselves   5  leases of one minute; 5 lived on after it',
      'held by heartbeats       4  after 28 beats; 4 silent holders lost their device (holder_lost) after 20.0 s',
      'booked every day        90  days of 3 daily series, up to the horizon; 3 begun, 29 called off',
      'joined the queue        16  6 served over HTTP, 6 through the client: p50 1.0 s, p95 1.0 s; 4 left before',
      'taken by one batch      50  50 extended, 50 read and 50 given back by one call each',
      'all or none             10  of 10 with room for all, 0 of 10 without',
      'ordered by event        60  58 granted, 1 QUOTA_NOT_FOUND, 1 NO_DEVICE_AVAILABLE; 12 sent twice and answered once;',
      'device failed            4  while it was held: 4 holders moved to another, 4 devices repaired',
      'ended by arrears        12  leases of 6 users, with 6 entries and 6 reservations; 6 asks refused (402),',
    ])
      expect(text).toContain(`  ${row}`);
    expect(text).toMatch(/ {2}events +60 +58 +2 +50 ms/);
    expect(text).toMatch(/ {2}killed with SIGKILL +1 +process, allocation-1, replaced after 12.3 s/);
    expect(text).toMatch(/ {2}✓ nothing was given up +dead letters 0/);
  });

  test('says why errands that need RabbitMQ did not run', () => {
    const text = summarise(outcome, [], { ...facts, withoutEvents: 'events are off' }, plain(100));
    expect(text).toMatch(/orders, failures, arrears +– +events are off/);
    expect(text).not.toContain('ended by arrears');
  });

  test('marks what is broken by a word, with its figures below', () => {
    const broken = [{ name: 'every booking began', ok: false, seen: 'begun 1 = 2' }];
    expect(summarise(outcome, broken, facts, plain(118))).toContain('  ✗ BROKEN: every booking began\n      begun 1 = 2');
    expect(verdict(['a', 'b'], 9, plain(80))).toBe('✗ NOT everything holds: a; b');
    expect(verdict([], 9, plain(80))).toBe('✓ everything holds: 9 checks');
  });

  test('is in colour only where a person looks on who did not say NO_COLOR', () => {
    expect(paperOf({ isTTY: true, columns: 80 }, false)).toEqual({ columns: 79, colours: true });
    expect(paperOf({ isTTY: true, columns: 300 }, true)).toEqual({ columns: 118, colours: false });
    expect(paperOf({ isTTY: false, columns: 0 }, false)).toEqual({ columns: 100, colours: false });
    expect(summarise(outcome, [], facts, { columns: 80, colours: true })).toContain('\u001b[');
    expect(summary(80)).not.toContain('\u001b[');
  });

  test('breaks lines between words', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrap('one 1 = 1, two 2 = 2', 12, ', ')).toEqual(['one 1 = 1,', 'two 2 = 2']);
    expect(wrap('incomprehensible', 4)).toEqual(['incomprehensible']);
    expect(wrap('', 4)).toEqual([]);
  });
});

describe('the progress', () => {
  const at = (width: number) => progressLine(happened, { clock: '  12.0 s', phase: 'sending ', requests: 6, width });

  test('is one line that leaves out what there is no room for', () => {
    expect(at(200)).toBe('  12.0 s  sending   ▕████████        ▏50 %  granted 0  held 0  waiting 0  refused 0  p95 –  released 0');
    expect(at(80)).toBe('  12.0 s  sending   ▕████████        ▏50 %  granted 0  held 0  waiting 0');
  });

  test('has no bar when all is sent', () => {
    const sent = Object.assign(createTally(), { sent: 6 });
    expect(progressLine(sent, { clock: '1 s', phase: 'draining', requests: 6, width: 80 })).toMatch(/^1 s {2}draining {2}granted 0/);
  });

  test('has bars in eighths', () => {
    expect([0, 0.5, 1, 2].map((share) => bar(share, 2))).toEqual(['', '█', '██', '██']);
    expect(bar(0.3, 2)).toBe('▋');
  });
});
