import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { untilSettled } from '../../chaos/check.ts';
import { FAULTS, faultsNamed, oneOfEach } from '../../chaos/faults.ts';
import { readChaosOptions } from '../../chaos/options.ts';
import { broken, holds, table } from '../../chaos/report.ts';
import { didStrike, type RoundResult, runRound } from '../../chaos/round.ts';
import { openStage, type Stage } from '../../chaos/stage.ts';
import { openWatch } from '../../chaos/watch.ts';
import { createRandom } from '../../dev/cluster/random.ts';
import { FAULT_POINTS } from '../../shared/fault-point.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** Always the same round; others are for `npm run chaos`. */
const SEED = 20_261;
const SIZE = { requests: 40, spanMs: 3_000, patienceMs: 90_000 };
const TOGETHER = ['redis-kill', 'postgres-drop-connections', 'kill-relay'];

describe('chaos, a short round on real servers and processes', () => {
  let database: TestDatabase;
  let stage: Stage;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'chaos-'));
    database = await createTestDatabase();
    const logFile = join(folder, 'log');
    stage = await openStage({ databaseUrl: database.url, devices: 20, seed: SEED, logFile, say: () => undefined });
  }, 180_000);
  afterAll(async () => {
    await stage?.close();
    await database.drop();
    rmSync(folder, { recursive: true });
  }, 60_000);

  test('a killed Redis, broken connections to Postgres and a killed relay break nothing that holds', async () => {
    const faults = faultsNamed(TOGETHER);
    const strike = async () => {
      for (const fault of faults) await fault.strike(stage, createRandom(SEED));
    };
    const result = await runRound(stage, { name: TOGETHER.join(' + '), says: 'three at once', lastsMs: 0, strike }, SEED, SIZE);
    process.stdout.write(`\n${table([result])}\n`);
    expect(broken(result)).toEqual([]);
    expect(result.findings.length).toBeGreaterThan(20);
    expect(result.grants).toBeGreaterThan(20);
  }, 240_000);

  test('control: what is broken by hand is found', async () => {
    await stage.sql('DELETE FROM ledger WHERE allocation_id = (SELECT allocation_id FROM ledger ORDER BY allocation_id LIMIT 1)');
    const findings = await untilSettled(stage, 0);
    expect(findings.filter(({ ok }) => !ok).map(({ name }) => name)).toContain('billing received each ended lease once, to the second');
  }, 60_000);

  test('control: a fault that met nothing is found', async () => {
    const nobodyPasses = { name: 'at-nowhere', says: '', lastsMs: 0, strike: () => undefined, evidence: () => 3 };
    expect(await didStrike(stage, nobodyPasses, 3, 0)).toEqual({ name: 'the fault struck', ok: false, seen: '0 times' });
    expect(await didStrike(stage, nobodyPasses, 2, 0)).toMatchObject({ ok: true, seen: '1 times' });
  });

  test('control: what was late once is found, though it has come right since, unless a fault excuses it', async () => {
    const watch = openWatch(stage, { recoveryMs: 60_000, everyMs: 0 });
    const late = async (userId: string, lateness: string) => {
      const values = `gen_random_uuid(), 'test', 'client', $1, 'standard', 'pending', '{}', now() - $2::interval`;
      await stage.sql(`INSERT INTO requests (id, caller, source, user_id, tier, status, asked, deadline) VALUES (${values})`, [
        userId,
        lateness,
      ]);
      await watch.look();
      await stage.sql('DELETE FROM requests WHERE user_id = $1', [userId]);
    };
    const broken = () =>
      watch
        .findings()
        .filter(({ ok }) => !ok)
        .map(({ name }) => name);
    await stage.processes.stop('waitlist');
    await stage.processes.stop('maintenance');
    await late('in-time', '10 seconds');
    watch.excuse();
    await late('excused', '1 hour');
    watch.calm();
    await late('recovering', '1 hour');
    expect(broken()).toEqual([]);
    const strict = openWatch(stage, { recoveryMs: 0, everyMs: 0 });
    strict.excuse();
    strict.calm();
    await stage.sql(`INSERT INTO requests (id, caller, source, user_id, tier, status, asked, deadline)
      VALUES (gen_random_uuid(), 'test', 'client', 'late', 'standard', 'pending', '{}', now() - interval '1 minute')`);
    await strict.look();
    await stage.sql(`DELETE FROM requests WHERE user_id = 'late'`);
    await strict.look();
    expect(strict.findings().filter(({ ok }) => !ok)).toMatchObject([{ name: 'no request was ever 15 s past its deadline' }]);
  }, 60_000);
});

describe('the faults', () => {
  test('have names of their own, by which they are found', () => {
    const names = FAULTS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(faultsNamed(['redis-kill', 'at-grant.1']).map(({ name }) => name)).toEqual(['redis-kill', 'at-grant.1']);
    expect(faultsNamed(['redis']).length).toBeGreaterThan(3);
    expect(() => faultsNamed(['earthquake'])).toThrow('there is no fault earthquake');
  });

  test('include each numbered step; a round of everything takes one step of each verb', () => {
    expect(FAULTS.filter(({ name }) => name.startsWith('at-'))).toHaveLength(Object.keys(FAULT_POINTS).length);
    const verbs = new Set(Object.keys(FAULT_POINTS).map((point) => point.split('.')[0]));
    expect(oneOfEach(createRandom(SEED)).filter(({ name }) => name.startsWith('at-'))).toHaveLength(verbs.size);
  });
});

describe('the command', () => {
  test('reads its words', () => {
    expect(readChaosOptions(['redis', '--minutes', '5', '--seed', '7'])).toEqual({ names: ['redis'], minutes: 5, seed: 7, list: false });
    expect(readChaosOptions([]).seed).toBeGreaterThan(0);
    expect(() => readChaosOptions(['--minutes', 'soon'])).toThrow('--minutes must be a whole number from 1, it is soon');
    expect(() => readChaosOptions(['--loud'])).toThrow('npm run chaos');
  });

  test('says of a round what did not hold', () => {
    const findings = [
      { name: 'one', ok: true, seen: '' },
      { name: 'two', ok: false, seen: '3 violations' },
    ];
    const numbers = { struckAtMs: 1_000, seed: 7, grants: 1, refusals: 2, errors: 3, recoveryMs: 40, settledMs: 500 };
    const result: RoundResult = { fault: 'redis-kill', ...numbers, findings };
    expect(holds(result)).toBe(false);
    expect(broken(result)).toEqual(['  redis-kill (seed 7): NOT two: 3 violations']);
    expect(table([result])).toContain('redis-kill   1.0 s     7       1        2       3     0.0 s    0.5 s         1/2  BROKEN');
  });
});
