import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { STRATEGY_TYPES, type StrategyType } from '../../shared/placement/strategy.ts';
import { simulate } from '../../shared/simulation/simulate.ts';
import { readFleetSample, readRecordedRequests } from '../../shared/store/recorded-requests.ts';
import { activateType, readActiveStrategy, strategyOf } from '../../shared/store/strategies.ts';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { addDevices } from '../support/fleet.ts';
import { type Wired, wire } from '../support/wire.ts';

let bench: ApiBench;
let api: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await addDevices(bench.store, [
    { cpuCores: 16, costPerHour: 4 },
    { cpuCores: 2, costPerHour: 1 },
  ]);
});
afterAll(() => bench.close());

const ask = async (body: object) => api.call('POST', '/scheduler/strategies/simulate', { as: await asService(), body });
const trace = [
  { userId: 'ann', atSeconds: 0, durationMinutes: 60 },
  { userId: 'bob', atSeconds: 60, durationMinutes: 30, preferredSpecs: { minCpu: 8 } },
  { userId: 'cid', atSeconds: 61, durationMinutes: 30, queueIfBusy: true, maxWaitMinutes: 60 },
];

describe('a trace over HTTP', () => {
  test('is replayed against every strategy, the one asked about first', async () => {
    const { data } = (await ask({ type: 'resource_efficiency', trace })).body;
    expect(data).toMatchObject({ type: 'resource_efficiency', active: 'resource_based', requests: 3, unreadable: 0, devices: 2, fleet: 2 });
    expect(data.results.map(({ type }: { type: string }) => type).toSorted()).toEqual(STRATEGY_TYPES.toSorted());
    const [first] = data.results;
    expect(first).toMatchObject({ type: 'resource_efficiency', grants: 3, refusals: 0, waitP50Ms: 0 });
    const other = data.results.find(({ type }: { type: string }) => type === 'resource_based');
    expect(other).toMatchObject({ grants: 2, refusals: 1, refusalsByCode: { NO_DEVICE_AVAILABLE: 1 } });
    expect(other.cost).toBe(4.5);
  });

  test('takes settings to try, and says what is wrong with them or with a request', async () => {
    const tried = (await ask({ type: 'least_connection', config: { window: 7 }, trace })).body.data;
    expect(tried.results[0]).toMatchObject({ type: 'least_connection', config: { window: 7 } });
    const refused = async (body: object) => (await ask(body)).body;
    expect(await refused({ type: 'least_connection', config: { window: 0 } })).toMatchObject({ details: { field: 'config.window' } });
    expect(await refused({ type: 'dice' })).toMatchObject({ statusCode: 400, details: { field: 'type' } });
    expect(await refused({ type: 'round_robin', trace: [{ ...trace[0], atSeconds: -1 }] })).toMatchObject({
      details: { field: 'trace[0].atSeconds' },
    });
    expect(await refused({ type: 'round_robin', trace: [] })).toMatchObject({ statusCode: 400, details: { field: 'trace' } });
    const many = Array.from({ length: 5_001 }, () => ({ userId: 'a', atSeconds: 1 }));
    expect(await refused({ type: 'round_robin', trace: many })).toMatchObject({ statusCode: 400, details: { field: 'trace' } });
  });

  test('does not keep others waiting, and one at a time is enough', async () => {
    const long = Array.from({ length: 3_000 }, (_, index) => ({ userId: `u${index}`, atSeconds: index }));
    const answers = await Promise.all([ask({ type: 'round_robin', trace: long }), ask({ type: 'round_robin', trace: long })]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 503]);
    expect(answers.find(({ status }) => status === 503)?.body).toMatchObject({ code: 'OVERLOADED' });
  });

  test('is for admins and services', async () => {
    expect(
      (await api.call('POST', '/scheduler/strategies/simulate', { as: await asUser('ann'), body: { type: 'round_robin' } })).status,
    ).toBe(403);
  });
});

describe('what was recorded', () => {
  test('is replayed without the rows that cannot be read, and their number is said', async () => {
    const asked = { durationMinutes: 30, queueIfBusy: false, maxWaitMinutes: 30, autoExtend: false };
    const rows = [asked, { durationMinutes: 'long' }, { ...asked, wheels: 4 }, null];
    for (const [index, row] of rows.entries())
      await bench.store.prisma.$executeRaw`
        INSERT INTO requests (id, caller, source, user_id, tier, asked, status, code, decided_at)
        VALUES (gen_random_uuid(), 'test', 'http', ${`user-${index}`}, 'standard', ${JSON.stringify(row)}::jsonb, 'refused', 'NO_DEVICE_AVAILABLE', now())`;
    expect(await ask({ type: 'round_robin' })).toMatchObject({ status: 200, body: { data: { requests: 2, unreadable: 2 } } });
  });
});

describe('npm run simulate', () => {
  const run = promisify(execFile);
  const file = join(tmpdir(), `trace-${randomUUID()}.csv`);
  afterAll(() => rm(file, { force: true }));

  test('prints one aligned line a strategy, and says what it was', async () => {
    await writeFile(file, `submitted_at,user_id,duration_minutes,min_cpu\n0,ann,30,2\n10,bob,30,8\nx,cid,1,1\n`);
    const { stdout } = await run(process.execPath, ['--no-warnings', 'dev/simulate.ts', '--trace', file, '--devices', '20']);
    const lines = stdout.trim().split('\n');
    expect(lines[0]).toContain('2 requests of');
    expect(lines[0]).toContain('1 lines are no requests');
    expect(lines.slice(3).map((line) => line.split(/\s+/)[0])).toEqual([...STRATEGY_TYPES]);
    expect(new Set(lines.slice(2).map(({ length }) => length)).size).toBe(1);
  });

  test('says what is missing', async () => {
    await expect(run(process.execPath, ['--no-warnings', 'dev/simulate.ts'])).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('a recording is needed'),
    });
  });
});

describe.each<StrategyType>([
  'resource_based',
  'resource_efficiency',
  'round_robin',
  'cost_optimization',
  'load_balancing',
  'least_connection',
])('what is simulated of recorded requests by %s', (type) => {
  let wired: Wired;
  beforeAll(async () => {
    wired = await wire({ allocationWorkers: 0 });
    await addDevices(
      wired.store,
      Array.from({ length: 8 }, (_, index) => ({
        type: index % 4 === 0 ? ('tablet' as const) : ('phone' as const),
        region: index % 2 === 0 ? 'north' : 'south',
        nodeId: `node-${index % 3}`,
        cpuCores: 1 + ((index * 3) % 8),
        costPerHour: ((index * 5) % 7) / 10,
        cpuUsage: (index * 11) % 30,
      })),
    );
  });
  afterAll(() => wired.close());

  test('is what was decided live', async () => {
    await activateType(wired.store, type);
    const strategy = strategyOf(await readActiveStrategy(wired.store));
    const { devices } = await readFleetSample(wired.store, 100);
    wired.addAllocationWorker({ strategy: () => strategy });
    const live: (string | undefined)[] = [];
    const allocations: string[] = [];
    for (let index = 0; index < 14; index += 1) {
      const specs = index % 3 === 1 ? { preferredSpecs: { minCpu: 4 } } : index % 5 === 2 ? { devicePreferences: { region: 'south' } } : {};
      const outcome = await wired.allocate(`user-${index}`, specs);
      live.push(outcome.status === 'granted' ? outcome.allocation.deviceId : undefined);
      if (outcome.status === 'granted') allocations.push(outcome.allocation.allocationId);
      const [given] = index % 2 === 1 ? allocations.splice(0, 1) : [];
      if (given !== undefined) await wired.release({ allocationId: given });
    }
    const { requests: recorded } = await readRecordedRequests(wired.store, 100);
    const simulated: (string | undefined)[] = recorded.map(() => undefined);
    simulate(devices, recorded, strategy, (index, deviceId) => {
      simulated[index] = deviceId;
    });
    expect(recorded).toHaveLength(14);
    expect(simulated).toEqual(live);
  });
});
