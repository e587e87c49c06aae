import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connect } from 'amqplib';
import { freePort } from '../../dev/cluster/ports.ts';
import { eventually } from './eventually.ts';
import type { OwnServer } from './own-servers.ts';

/** A RabbitMQ of one test or run. What it was told to keep is there again after `start`. */
export interface OwnRabbitmq extends OwnServer {
  /** From now on it takes nothing from those who publish, as when it runs out of memory; or takes it again. */
  beShortOfMemory(short: boolean): Promise<void>;
  /** A part of it whose queues are replicated ones unless somebody asks for another kind. @returns its address */
  addQuorumHost(): Promise<string>;
  /** The kind of each queue at an address of `addQuorumHost`. */
  queueTypes(url: string): Promise<readonly string[]>;
}

const FOLDERS = ['/usr/lib/rabbitmq/lib/*/sbin', '/opt/homebrew/opt/rabbitmq/sbin', '/usr/local/opt/rabbitmq/sbin'];
/** The name server of Erlang nodes that `npm run services` uses too. */
const EPMD_PORT = '24369';
/** It takes its time on a busy machine. */
const STARTS_WITHIN_MS = 120_000;
const execute = promisify(execFile);

/** Not started yet: that takes some seconds, and who needs it may begin without. */
export async function ownRabbitmq(): Promise<OwnRabbitmq> {
  const programs = FOLDERS.flatMap((pattern) => globSync(pattern)).at(-1);
  if (programs === undefined) throw new Error('The programs of RabbitMQ are needed for this test: npm run services -- up installs them.');
  const folder = mkdtempSync(join(tmpdir(), 'scheduler-test-rabbitmq-'));
  const env = { ...process.env, ...(await settings(folder)) };
  const url = `amqp://guest:guest@127.0.0.1:${env.RABBITMQ_NODE_PORT}`;
  let server: ChildProcess | undefined;

  async function start(): Promise<void> {
    // A group of its own: the server is a shell, a virtual machine and helpers of it.
    server = spawn(join(programs ?? '', 'rabbitmq-server'), [], { cwd: folder, env, stdio: 'ignore', detached: true });
    await eventually(() => ping(url), STARTS_WITHIN_MS, 200);
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (server?.pid === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    process.kill(-server.pid, signal);
    await gone;
  }

  // Whoever is interrupted must not leave a server behind.
  const killAtExit = () => void end('SIGKILL');
  process.once('exit', killAtExit);

  const control = async (...args: string[]) =>
    (await execute(join(programs, 'rabbitmqctl'), ['--quiet', '-n', env.RABBITMQ_NODENAME, ...args], { env })).stdout;

  return {
    url,
    start,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    beShortOfMemory: async (short) => {
      const share = short ? '0.0000001' : '0.6';
      await control('set_vm_memory_high_watermark', share);
    },
    addQuorumHost: async () => {
      const name = randomUUID();
      await control('add_vhost', name, '--default-queue-type', 'quorum');
      await control('set_permissions', '--vhost', name, 'guest', '.*', '.*', '.*');
      return `${url}/${name}`;
    },
    queueTypes: async (host) =>
      (await control('list_queues', '--vhost', new URL(host).pathname.slice(1), '--no-table-headers', 'type')).trim().split('\n'),
    remove: async () => {
      process.off('exit', killAtExit);
      await end('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function settings(folder: string) {
  mkdirSync(join(folder, 'log'));
  writeFileSync(join(folder, '.erlang.cookie'), randomBytes(24).toString('hex'), { mode: 0o400 });
  writeFileSync(join(folder, 'enabled_plugins'), '[].\n');
  writeFileSync(join(folder, 'rabbitmq.conf'), 'default_user = guest\ndefault_pass = guest\ndisk_free_limit.absolute = 50MB\n');
  const [port, distribution] = await Promise.all([freePort(), freePort()]);
  return {
    HOME: folder,
    RABBITMQ_NODENAME: `test-${randomUUID()}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distribution),
    ERL_EPMD_PORT: EPMD_PORT,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}',
  };
}

async function ping(url: string): Promise<void> {
  const connection = await connect(url, { timeout: 2_000 });
  await connection.close();
}
