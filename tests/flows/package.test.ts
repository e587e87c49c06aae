import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { allocatePayload } from '../../queues/jobs/allocate.ts';
import { checked } from '../../shared/run/queue-worker.ts';
import { openQueueBench, type QueueBench } from '../support/queue-bench.ts';
import { redisUrl } from '../support/redis.ts';

const run = promisify(execFile);
const REPOSITORY = resolve(import.meta.dirname, '../..');
const TSC = join(REPOSITORY, 'node_modules/typescript/bin/tsc');
const INSTALL_MS = 240_000;

/** What a service that uses the client looks like; every result is told apart by its status. */
const SERVICE = `
import { type AllocateResult, SchedulerClient, SchedulerError } from 'cloudphone-scheduler/client';

const [url = '', prefix = ''] = process.argv.slice(2);
const client = new SchedulerClient({ redis: { url }, service: 'shop', prefix });

function said(result: AllocateResult): string {
  switch (result.status) {
    case 'granted': return \`\${result.allocation.deviceId} until \${result.allocation.expiresAt}\`;
    case 'refused': return \`\${result.code} \${result.reason}\`;
    case 'cancelled': case 'timed_out': return result.code;
    case 'waiting': return result.reason;
    case 'pending': return result.requestId;
  }
}

try {
  const results = await client.allocateMany(
    [{ userId: 'a', tier: 'vip' }, { userId: 'b', durationMinutes: 5, devicePreferences: { deviceType: 'tablet' } }, { userId: '' }],
    { timeoutMs: 10_000, signal: AbortSignal.timeout(20_000) },
  );
  console.log(JSON.stringify(results.map(said)));
} catch (error) {
  if (error instanceof SchedulerError) console.error(error.code);
  throw error;
} finally {
  await client.close();
}
`;

/** What must not be accepted: the types are worth something only if they refuse this. */
const MISTAKES = `
import { SchedulerClient } from 'cloudphone-scheduler/client';
const client = new SchedulerClient({ redis: { url: '' }, service: 'shop' });
// @ts-expect-error a tier nobody has
await client.allocate('a', { tier: 'gold' });
// @ts-expect-error no such wish
await client.allocate('a', { minutes: 5 });
const result = await client.allocate('a');
// @ts-expect-error there may be no allocation
result.allocation;
`;

let project: string;
let bench: QueueBench;

beforeAll(async () => {
  bench = await openQueueBench();
  project = await mkdtemp(join(tmpdir(), 'scheduler-client-'));
  await run('npm', ['pack', '--pack-destination', project], { cwd: REPOSITORY });
  const [tarball = ''] = (await readdir(project)).filter((name) => name.endsWith('.tgz'));
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'shop', version: '1.0.0', private: true, type: 'module' }));
  const options = {
    strict: true,
    exactOptionalPropertyTypes: true,
    module: 'nodenext',
    target: 'es2023',
    types: ['node'],
    typeRoots: [join(REPOSITORY, 'node_modules/@types')],
  };
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['service.ts', 'mistakes.ts'] }));
  await writeFile(join(project, 'service.ts'), SERVICE);
  await writeFile(join(project, 'mistakes.ts'), MISTAKES);
  await run('npm', ['install', '--prefer-offline', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', join(project, tarball)], {
    cwd: project,
  });
}, INSTALL_MS);

afterAll(async () => {
  await bench.close();
  await rm(project, { recursive: true, force: true });
});

describe('the packed client, installed in an empty project', () => {
  test('type-checks and asks for devices over Redis alone', async () => {
    await run(process.execPath, [TSC, '-p', project], { cwd: project });
    const allocate = checked(allocatePayload, ({ requestId, userId, tier }) => {
      const allocation = { deviceId: `${tier} device of ${userId}`, expiresAt: 'tomorrow' };
      return Promise.resolve({ status: 'granted', requestId, allocation });
    });
    bench.work({ allocate });
    const { stdout } = await run(process.execPath, [join(project, 'service.js'), redisUrl(), bench.prefix], { cwd: project });
    expect(JSON.parse(stdout)).toEqual([
      'vip device of a until tomorrow',
      'standard device of b until tomorrow',
      expect.stringContaining('VALIDATION_FAILED userId'),
    ]);
  });

  test('loads BullMQ, ioredis and zod, and nothing of the servers', async () => {
    const list = `
      import { registerHooks } from 'node:module';
      const loaded = new Set();
      registerHooks({ load(url, context, next) { loaded.add(/node_modules\\/(?!cloudphone-scheduler)((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1]); return next(url, context); } });
      await import('cloudphone-scheduler/client');
      console.log(JSON.stringify([...loaded].filter(Boolean)));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', list], { cwd: project });
    const loaded: unknown = JSON.parse(stdout);
    expect(loaded).toEqual(expect.arrayContaining(['bullmq', 'ioredis', 'zod']));
    const servers = ['@prisma/client', '@prisma/adapter-pg', 'pg', 'fastify', 'amqplib', 'got', 'opossum', 'pino', 'prom-client'];
    for (const server of servers) expect(loaded).not.toContain(server);
  });

  test('installs nothing of the servers either', async () => {
    const installed = await readdir(join(project, 'node_modules'));
    expect(installed).toEqual(expect.arrayContaining(['bullmq', 'ioredis', 'zod', 'commander']));
    const servers = JSON.parse(await readFile(join(REPOSITORY, 'server/package.json'), 'utf8')) as { dependencies: Record<string, string> };
    const names = Object.keys(servers.dependencies).map((name) => name.split('/')[0]);
    expect(installed.filter((name) => names.includes(name))).toEqual([]);
  });

  test('comes from a project that names libraries of the servers in one version only', async () => {
    const read = async (path: string) =>
      JSON.parse(await readFile(join(REPOSITORY, path), 'utf8')) as Record<string, Record<string, string>>;
    const [ours, servers] = [await read('package.json'), await read('server/package.json')];
    const both = Object.keys(ours['devDependencies'] ?? {}).filter((name) => name in (servers['dependencies'] ?? {}));
    expect(both).toEqual(expect.arrayContaining(['@bull-board/api', '@prisma/client', 'amqplib', 'got', 'opossum']));
    for (const name of both) expect(ours['devDependencies']?.[name]).toBe(servers['dependencies']?.[name]);
  });

  test('exports the client and nothing else', async () => {
    const other = run(process.execPath, ['--input-type=module', '-e', "await import('cloudphone-scheduler/dist/queues/producer.js')"], {
      cwd: project,
    });
    await expect(other).rejects.toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  describe('brings the operator’s command, which', () => {
    const command = async (...words: string[]) => {
      const env = { PATH: process.env['PATH'], SCHEDULER_URL: 'http://127.0.0.1:9', SCHEDULER_TOKEN: 'eyJhbGciOiJIUzI1NiJ9.e30.e30' };
      const bin = join(project, 'node_modules/cloudphone-scheduler/cli/bin.js');
      return run(process.execPath, [bin, ...words], { cwd: project, env }).catch(
        (error: { code: number; stdout: string; stderr: string }) => error,
      );
    };

    test('tells what it can do, and asks the API', async () => {
      expect((await command('--help')).stdout).toContain('cloudphone-scheduler');
      expect(await command('list')).toMatchObject({ code: 3, stderr: expect.stringContaining('UNREACHABLE') });
      expect(await command('list', '--limit', '0')).toMatchObject({ code: 2 });
    });

    test('is a doctor that says what it cannot look at without the servers', async () => {
      const { checks } = JSON.parse((await command('doctor', '--json')).stdout) as { checks: { name: string; status: string }[] };
      expect(checks).toContainEqual(expect.objectContaining({ name: 'postgres, redis, rabbitmq', status: 'skipped' }));
      expect(checks).toContainEqual(expect.objectContaining({ name: 'api', status: 'failed' }));
      expect(checks).toContainEqual(expect.objectContaining({ name: 'configuration', status: 'skipped' }));
    });

    test('drags nothing of the servers into the package', async () => {
      const shared = await readdir(join(project, 'node_modules/cloudphone-scheduler/dist/shared'));
      expect(shared.filter((name) => ['store', 'clients', 'broker'].includes(name))).toEqual([]);
    });
  });
});
