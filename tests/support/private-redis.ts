import { type ChildProcess, spawn } from 'node:child_process';
import { freePort } from '../../dev/cluster/ports.ts';
import { createLogger } from '../../shared/logger.ts';
import { closeRedis, createRedis, type RedisAddress, whenReady } from '../../shared/run/redis.ts';

/** A Redis of a test's own, to be stopped, emptied or misconfigured. Nothing is written to disk. */
export interface PrivateRedis {
  readonly address: RedisAddress;
  /** Ends it without a warning. */
  kill(): Promise<void>;
  /** Starts it again, empty. */
  start(): Promise<void>;
  /** Stands still or goes on, its connections open: SIGSTOP, SIGCONT. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
}

/** @param settings  as on the command line of redis-server, for example `--maxmemory-policy allkeys-lru` */
export async function startPrivateRedis(...settings: string[]): Promise<PrivateRedis> {
  const port = await freePort();
  const address = { url: `redis://127.0.0.1:${port}/0`, clusterNodes: [] };
  let server: ChildProcess | undefined;

  async function start(): Promise<void> {
    server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...settings], {
      stdio: 'ignore',
    });
    const redis = createRedis('worker', address, createLogger('test', 'silent'));
    await whenReady(redis, 30_000);
    closeRedis(redis);
  }

  // A test that fails on its way must not leave a server behind.
  const killAtExit = () => server?.kill('SIGKILL');
  process.once('exit', killAtExit);

  async function kill(): Promise<void> {
    process.off('exit', killAtExit);
    const ending = server;
    if (ending === undefined) return;
    server = undefined;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill('SIGKILL');
    await ended;
  }

  await start();
  return { address, kill, start, signal: (signal) => void server?.kill(signal) };
}
