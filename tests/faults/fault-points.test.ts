import { spawnSync } from 'node:child_process';
import { describe, expect, test } from '@jest/globals';
import { armFaultPoint, FAULT_POINTS, faultPoint } from '../../shared/fault-point.ts';
import { readSources } from '../support/import-graph.ts';

const sources = readSources(['shared', 'queues', 'api', 'workers', 'dashboards', 'cli']).filter(
  ({ path }) => path !== 'shared/fault-point.ts',
);
const called = sources.flatMap(({ text }) => [...text.matchAll(/\bfaultPoint\('([^']+)'\)/g)].map(([, name]) => name));

/** What a process does that has one of these loaded in front. */
function load(file: string, settings: Readonly<Record<string, string>>, code = ''): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--no-warnings', '--import', `./chaos/${file}`, '-e', code], {
    env: { PATH: process.env['PATH'], ...settings },
    encoding: 'utf8',
  });
  return { status, said: stdout + stderr };
}

describe('the fault points', () => {
  test('are called where the list says so: each once, none that is not listed', () => {
    expect(called.toSorted()).toEqual(Object.keys(FAULT_POINTS).toSorted());
  });

  test('are numbered without a gap', () => {
    const verbs = Map.groupBy(Object.keys(FAULT_POINTS), (name) => name.split('.')[0]);
    for (const [verb, names] of verbs) expect(names).toEqual(names.map((_, index) => `${verb}.${index + 1}`));
  });

  test('are armed by nothing of the product', () => {
    expect(sources.filter(({ text }) => text.includes('armFaultPoint')).map(({ path }) => path)).toEqual([]);
  });

  test('strike at the armed step only', () => {
    const struck: string[] = [];
    armFaultPoint('grant.2', () => struck.push('grant.2'));
    faultPoint('grant.1');
    expect(struck).toEqual([]);
    faultPoint('grant.2');
    expect(struck).toEqual(['grant.2']);
  });

  test('refuse to be armed in production, and under a name nobody knows', () => {
    expect(load('arm-fault-point.ts', { FAULT_POINT: 'grant.1' })).toEqual({ status: 0, said: '' });
    const refused = load('arm-fault-point.ts', { FAULT_POINT: 'grant.1', NODE_ENV: 'production' });
    expect(refused).toMatchObject({ status: 1, said: expect.stringContaining('not for production') });
    expect(load('arm-fault-point.ts', { FAULT_POINT: 'grant.99' }).said).toContain('there is no fault point grant.99');
    expect(load('arm-fault-point.ts', { FAULT_POINT: 'grant.1', FAULT_KIND: 'flood' }).said).toContain('kill, stall, throw');
  });
});

describe('a shifted clock', () => {
  test('is wrong by what was said, in every way to ask for the time, and not in production', () => {
    const code = 'console.log(Date.now(), new Date().getTime(), Date.parse(Date()), new Date(0).getTime(), new Date() instanceof Date)';
    const { said } = load('shift-clock.ts', { CLOCK_SHIFT_MS: '600000' }, code);
    const [now, made, asked, epoch, isDate] = said.trim().split(' ');
    for (const time of [now, made, asked]) expect(Math.abs(Number(time) - Date.now() - 600_000)).toBeLessThan(60_000);
    expect([epoch, isDate]).toEqual(['0', 'true']);
    expect(load('shift-clock.ts', { CLOCK_SHIFT_MS: '1', NODE_ENV: 'production' })).toMatchObject({ status: 1 });
  });
});
