import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import pg from 'pg';
import { freePort } from '../../dev/cluster/ports.ts';
import { eventually } from './eventually.ts';

/** A server of one test: it may be stopped and started without disturbing another test. */
export interface OwnServer {
  readonly url: string;
  stop(): Promise<void>;
  /** Ends it as a power cut would: nothing is said to anybody, nothing is written any more. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Stops it and removes its data. */
  remove(): Promise<void>;
}

const isRoot = process.getuid?.() === 0;
const execute = promisify(execFile);

/** An empty Postgres with durable settings; `stop` ends sessions the way an administrator's restart does. */
export async function ownPostgres(): Promise<OwnServer> {
  const bin = globSync('/usr/lib/postgresql/*/bin').concat(globSync('/opt/homebrew/opt/postgresql*/bin')).at(-1);
  if (bin === undefined) throw new Error('The programs of Postgres are needed for this test: npm run services -- up installs them.');
  const folder = mkdtempSync(join(isRoot ? '/var/tmp' : tmpdir(), 'scheduler-test-postgres-'));
  chmodSync(folder, 0o755);
  // Not the synchronous form: a test process that stands still times out its own calls.
  const run = async (program: string, ...args: string[]) => {
    const [command = '', ...rest] = [...(isRoot ? ['runuser', '-u', 'postgres', '--'] : []), join(bin, program), ...args];
    await execute(command, rest);
  };
  if (isRoot) await execute('chown', ['postgres', folder]);
  const data = join(folder, 'data');
  await run('initdb', '-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync');
  const port = await freePort();
  const settings = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''`;
  const start = () => run('pg_ctl', '-D', data, '-l', join(folder, 'log'), '-o', settings, '-w', 'start');
  // Whoever is interrupted must not leave a server behind.
  const [command = '', ...words] = [...(isRoot ? ['runuser', '-u', 'postgres', '--'] : []), join(bin, 'pg_ctl')];
  const killAtExit = () => void spawnSync(command, [...words, '-D', data, '-m', 'immediate', 'stop']);
  process.once('exit', killAtExit);
  const end = (mode: 'fast' | 'immediate') => run('pg_ctl', '-D', data, '-m', mode, '-w', 'stop');
  const stop = () => end('fast');
  await start();
  const url = `postgresql://postgres@127.0.0.1:${port}/scheduler`;
  const admin = new pg.Client({ connectionString: url.replace(/scheduler$/, 'postgres') });
  await admin.connect();
  await admin.query('CREATE DATABASE scheduler');
  await admin.end();
  await execute(process.execPath, ['--no-warnings', 'scripts/migrate.ts'], { env: { ...process.env, DATABASE_URL: url } });
  return {
    url,
    start,
    stop,
    kill: () => end('immediate'),
    remove: async () => {
      process.off('exit', killAtExit);
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** An empty Redis that keeps its data over a restart, never evicts. */
export async function ownRedis(): Promise<OwnServer> {
  const folder = mkdtempSync(join(tmpdir(), 'scheduler-test-redis-'));
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}/0`;
  const settings = [
    '--port',
    `${port}`,
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--appendonly',
    'yes',
    '--appendfsync',
    'always',
    '--save',
    '',
    '--maxmemory-policy',
    'noeviction',
  ];
  let server: ReturnType<typeof spawn> | undefined;
  const start = async () => {
    server = spawn('redis-server', settings, { stdio: 'ignore' });
    await eventually(() => ping(url), 20_000);
  };
  const killAtExit = () => server?.kill('SIGKILL');
  process.once('exit', killAtExit);
  const end = async (signal: NodeJS.Signals) => {
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill(signal);
    await gone;
  };
  const stop = () => end('SIGTERM');
  await start();
  return {
    url,
    start,
    stop,
    kill: () => end('SIGKILL'),
    remove: async () => {
      process.off('exit', killAtExit);
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function ping(url: string): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    await redis.ping();
  } finally {
    redis.disconnect();
  }
}
