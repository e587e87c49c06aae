import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { eventually } from '../tests/support/eventually.ts';
import { freePort, type OwnServer } from '../tests/support/own-servers.ts';

/** The name server of Erlang nodes, shared with those of `npm run services`. */
const EPMD_PORT = '24369';
const STARTS_WITHIN_MS = 120_000;

/** A RabbitMQ of one test or run. It is not started yet: that takes some seconds, and who needs it may begin without. */
export async function ownRabbitmq(): Promise<OwnServer> {
  const program = globSync(['/usr/lib/rabbitmq/lib/*/sbin', '/opt/homebrew/opt/rabbitmq/sbin', '/usr/local/opt/rabbitmq/sbin']).at(-1);
  if (program === undefined) throw new Error('The programs of RabbitMQ are needed for this: npm run services -- up installs them.');
  const folder = mkdtempSync(join(tmpdir(), 'scheduler-test-rabbitmq-'));
  const [port, distPort] = [await freePort(), await freePort()];
  const url = `amqp://guest:guest@127.0.0.1:${port}`;
  const env = { ...process.env, ...environment(folder, port, distPort) };
  let server: ReturnType<typeof spawn> | undefined;

  const start = async () => {
    // A process group of its own: the server is a shell, a virtual machine and helpers of it.
    server = spawn(join(program, 'rabbitmq-server'), [], { cwd: folder, detached: true, stdio: 'ignore', env });
    await eventually(() => ping(url), STARTS_WITHIN_MS, 200);
  };
  const end = async (signal: NodeJS.Signals) => {
    if (server?.pid === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    process.kill(-server.pid, signal);
    await gone;
  };
  process.once('exit', () => void end('SIGKILL'));
  const stop = () => end('SIGTERM');
  return {
    url,
    start,
    stop,
    kill: () => end('SIGKILL'),
    remove: async () => {
      await end('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function environment(folder: string, port: number, distPort: number): Record<string, string> {
  mkdirSync(join(folder, 'log'));
  writeFileSync(join(folder, 'enabled_plugins'), '[].\n');
  writeFileSync(join(folder, 'rabbitmq.conf'), 'default_user = guest\ndefault_pass = guest\ndisk_free_limit.absolute = 50MB\n');
  return {
    HOME: folder,
    RABBITMQ_NODENAME: `scheduler-test-${process.pid}-${port}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distPort),
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
  const connection = await connect(url);
  await connection.close();
}
