import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { signToken } from '../../cli/token.ts';
import { clusterEnvironment } from '../../dev/cluster/environment.ts';
import { hasDevices } from '../../dev/cluster/has-devices.ts';
import { importFleet } from '../../dev/cluster/import-fleet.ts';
import { formatLogLine, readLogLine } from '../../dev/cluster/log-line.ts';
import { freePort } from '../../dev/cluster/ports.ts';
import { startCluster } from '../../dev/cluster/start-cluster.ts';
import { type ProcessEvent, supervise } from '../../dev/cluster/supervise.ts';
import { loadConfig } from '../../shared/config.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { createTestPrefix, redisUrl } from '../support/redis.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cluster-'));
});
afterAll(() => rm(folder, { recursive: true }));

const isAlive = (pid: number | undefined) => {
  try {
    return pid !== undefined && process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('a supervised process', () => {
  /** Watches a little server; `source` runs once it listens. */
  async function watch(source: string, pauses = { pauseMs: 20, longestPauseMs: 80 }) {
    const [file, port] = [join(folder, `${Math.random()}.mjs`), await freePort()];
    await writeFile(
      file,
      `import { createServer } from 'node:http';\ncreateServer((_, answer) => answer.end('ok')).listen(${port}, '127.0.0.1', () => { ${source} });`,
    );
    const [events, lines]: [ProcessEvent[], string[]] = [[], []];
    const spec = { name: 'little', file, env: process.env, healthUrl: `http://127.0.0.1:${port}/` };
    const supervised = supervise(spec, { ...pauses, onLine: (_name, line) => lines.push(line), onEvent: (event) => events.push(event) });
    return { supervised, events, lines };
  }

  test('is replaced when it is killed, and it is told how long it was missed', async () => {
    const { supervised, events, lines } = await watch(`console.log('hello'); process.on('SIGTERM', () => process.exit(0))`);
    expect(await supervised.healthy(30_000)).toBe(true);
    const first = supervised.pid;
    supervised.kill('SIGKILL');
    await eventually(() => expect(events).toContainEqual(expect.objectContaining({ kind: 'up', downMs: expect.any(Number) })), 30_000);
    expect(events).toContainEqual({ kind: 'died', name: 'little', how: 'SIGKILL', pauseMs: 20 });
    expect(supervised.pid).not.toBe(first);
    expect(supervised.replacements).toBe(1);
    expect(lines).toEqual(['hello', 'hello']);
    await supervised.stop(5_000);
    expect(isAlive(supervised.pid)).toBe(false);
    expect(supervised.replacements).toBe(1);
  });

  test('that keeps dying is tried again with growing pauses', async () => {
    const { supervised, events } = await watch('process.exit(3)');
    await eventually(() => expect(events.filter(({ kind }) => kind === 'died').length).toBeGreaterThan(3), 20_000);
    const pauses = events.flatMap((event) => (event.kind === 'died' ? [event.pauseMs] : []));
    expect(pauses.slice(0, 4)).toEqual([20, 40, 80, 80]);
    expect(events[0]).toMatchObject({ how: 'exit code 3' });
    await supervised.stop(1_000);
  });

  test('that does not end when asked is ended', async () => {
    const { supervised } = await watch(`process.on('SIGTERM', () => undefined)`);
    expect(await supervised.healthy(30_000)).toBe(true);
    await supervised.stop(200);
    expect(isAlive(supervised.pid)).toBe(false);
  });

  test('whose file is missing says so and disturbs nobody', async () => {
    const lines: string[] = [];
    const spec = { name: 'gone', file: join(folder, 'gone.mjs'), env: process.env, healthUrl: 'http://127.0.0.1:1/' };
    const supervised = supervise(spec, { pauseMs: 5_000, onLine: (_name, line) => lines.push(line), onEvent: () => undefined });
    await eventually(() => expect(lines.join('\n')).toContain('Cannot find module'), 30_000);
    expect(await supervised.healthy(100)).toBe(false);
    await supervised.stop(1_000);
  });
});

describe('the cluster', () => {
  test('starts, allocates a device, replaces a killed worker, allocates again, and leaves no process behind', async () => {
    const [database, { prefix, clean }] = [await createTestDatabase(), createTestPrefix()];
    const secret = 'a secret of at least thirty-two characters';
    const said = {
      ...process.env,
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl(),
      // The queues of the listener have the same names everywhere: events off, or tests that publish would be heard here.
      RABBITMQ_URL: '',
      QUEUE_PREFIX: prefix,
      JWT_SECRET: secret,
      SERVICE_TOKEN_SECRET: secret,
      DASHBOARD_PASSWORD: 'correct horse battery',
      DB_POOL_SIZE: '4',
      METRICS_PORT: undefined,
    };
    const loaded = loadConfig(said);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const { env, standIns, notes } = await clusterEnvironment(said, loaded.config);
    expect(notes).toHaveLength(3);
    expect(notes[0]).toMatch(/^USER_SERVICE_URL is not set: a stand-in answers for user-service on http:/);
    const events: ProcessEvent[] = [];
    const cluster = await startCluster({
      env,
      ...(standIns && { standIns }),
      stopWithinMs: 20_000,
      onLine: () => undefined,
      onEvent: (event) => events.push(event),
    });
    try {
      expect(await cluster.ready).toEqual([]);
      expect(cluster.processes.map(({ name }) => name)).toEqual([
        'api',
        'dashboards',
        'allocation',
        'waitlist',
        'lifecycle',
        'delivery',
        'relay',
        'maintenance',
        'reservations',
        'listener',
        'stand-ins',
      ]);
      expect(await hasDevices(database.url)).toBe(false);
      const secrets = { userSecret: secret, serviceSecret: secret };
      expect(await importFleet(cluster.addresses.api, 20, 1, secrets)).toMatchObject({ received: 20, created: 20, failed: 0 });
      expect(await importFleet(cluster.addresses.api, 20, 1, secrets)).toMatchObject({ created: 0, updated: 20 });
      expect(await hasDevices(database.url)).toBe(true);
      const token = await signToken({ user: 'alice', expiresIn: '600' }, secrets);
      const allocate = () =>
        fetch(`${cluster.addresses.api}/scheduler/devices/allocate`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ userId: 'alice', waitMs: 30_000 }),
        });
      expect((await allocate()).status).toBe(201);
      cluster.kill('allocation');
      expect((await allocate()).status).toBe(201);
      await eventually(
        () => expect(events).toContainEqual(expect.objectContaining({ kind: 'up', name: 'allocation', downMs: expect.any(Number) })),
        30_000,
      );
      expect(() => cluster.kill('nobody')).toThrow('there is no process nobody');
      expect((await fetch(`${cluster.addresses.dashboard}/health`)).status).toBe(200);
    } finally {
      await cluster.stop();
    }
    expect(cluster.processes.filter(({ pid }) => isAlive(pid))).toEqual([]);
    await clean();
    await database.drop();
  }, 120_000);

  test('stands in only for neighbours nobody named', async () => {
    const said = {
      JWT_SECRET: 'x'.repeat(32),
      DASHBOARD_PASSWORD: 'y'.repeat(12),
      USER_SERVICE_URL: 'http://users:1',
      BILLING_SERVICE_URL: 'http://bills:2',
      PORT: '4711',
    };
    const loaded = loadConfig(said);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const { env, notes, standIns } = await clusterEnvironment(said, loaded.config);
    expect(env).toMatchObject({ USER_SERVICE_URL: 'http://users:1', BILLING_SERVICE_URL: 'http://bills:2', PORT: '4711' });
    expect(notes).toEqual([
      `NOTIFICATION_SERVICE_URL is not set: a stand-in answers for notification-service on ${env['NOTIFICATION_SERVICE_URL']}`,
    ]);
    expect(standIns).toBeDefined();
    const all = { ...said, NOTIFICATION_SERVICE_URL: 'http://notes:3' };
    const whole = loadConfig(all);
    if (whole.ok) expect(await clusterEnvironment(all, whole.config)).toMatchObject({ standIns: undefined, notes: [] });
  });
});

describe('a line of the log', () => {
  test('of ours becomes a sentence, anything else stays as it is', () => {
    const line = JSON.stringify({
      level: 40,
      time: '2026-01-02T03:04:05.678Z',
      pid: 1,
      hostname: 'h',
      name: 'api',
      port: 7,
      at: { a: 1 },
      err: { message: 'broken' },
      msg: 'odd',
    });
    expect(readLogLine('api', line)).toEqual({ name: 'api', level: 40, text: '03:04:05 WARN odd  broken  port=7  at={"a":1}' });
    expect(readLogLine('api', '{ no json')).toEqual({ name: 'api', level: 30, text: '{ no json' });
    expect(formatLogLine({ name: 'api', level: 40, text: 'odd' }, 5, false)).toBe('api   │ odd');
    expect(formatLogLine({ name: 'api', level: 50, text: 'odd' }, 3, true)).toBe('api │ \u001b[31modd\u001b[0m');
  });
});
