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

/** A RabbitMQ of one test, to be killed and to be short of memory. What it was told to keep is there again after `start`. */
export interface OwnRabbitmq {
  readonly url: string;
  /** Ends it without a warning. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** From now on it takes nothing from those who publish, as when it runs out of memory; or takes it again. */
  beShortOfMemory(short: boolean): Promise<void>;
  /** A part of it whose queues are replicated ones unless somebody asks for another kind. @returns its address */
  addQuorumHost(): Promise<string>;
  /** The kind of each queue at an address of `addQuorumHost`. */
  queueTypes(url: string): Promise<readonly string[]>;
  /** Ends it and removes its data. */
  remove(): Promise<void>;
}

const FOLDERS = ['/usr/lib/rabbitmq/lib/*/sbin', '/opt/homebrew/opt/rabbitmq/sbin', '/usr/local/opt/rabbitmq/sbin'];
/** The name server of Erlang nodes that `npm run services` uses too. */
const EPMD_PORT = '24369';
const START_MS = 60_000;
const execute = promisify(execFile);

export async function ownRabbitmq(): Promise<OwnRabbitmq> {
  const programs = FOLDERS.flatMap((pattern) => globSync(pattern)).at(-1);
  if (programs === undefined) throw new Error('The programs of RabbitMQ are needed for this test: npm run services -- up installs them.');
  const folder = mkdtempSync(join(tmpdir(), 'scheduler-test-rabbitmq-'));
  const env = { ...process.env, ...(await settings(folder)) };
  const url = `amqp://guest:guest@127.0.0.1:${env.RABBITMQ_NODE_PORT}`;
  let server: ChildProcess | undefined;

  async function start(): Promise<void> {
    // A group of its own: the script starts the node as a child.
    server = spawn(join(programs ?? '', 'rabbitmq-server'), [], { cwd: folder, env, stdio: 'ignore', detached: true });
    await eventually(() => ping(url), START_MS);
  }

  const endAtExit = () => server?.pid !== undefined && process.kill(-server.pid, 'SIGKILL');
  process.once('exit', endAtExit);

  async function kill(): Promise<void> {
    const ending = server;
    server = undefined;
    if (ending?.pid === undefined) return;
    const gone = once(ending, 'exit');
    process.kill(-ending.pid, 'SIGKILL');
    await gone;
  }

  const control = async (...args: string[]) =>
    (await execute(join(programs, 'rabbitmqctl'), ['--quiet', '-n', env.RABBITMQ_NODENAME, ...args], { env })).stdout;

  await start();
  return {
    url,
    kill,
    start,
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
      process.off('exit', endAtExit);
      await kill();
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
