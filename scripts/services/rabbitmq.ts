import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, existsSync, globSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from './instance.ts';
import { folderOf, numberIn, ROOT } from './place.ts';
import { answersOn, end, isAlive, until } from './probe.ts';
import { attempt, programPath } from './run.ts';

const FOLDER = folderOf('rabbitmq');
const PID_FILE = join(FOLDER, 'pid');
/** The name server of Erlang nodes: one of our own, shared by the clones of the project. Keep clear of 35672-35682 (RabbitMQ's CLI). */
const EPMD_PORT = '24369';

/** Not Debian's wrapper, which switches to the system's account and folders. */
function program(): string | undefined {
  const found = ['/usr/lib/rabbitmq/lib/*/sbin', '/opt/homebrew/opt/rabbitmq/sbin', '/usr/local/opt/rabbitmq/sbin'].flatMap((pattern) =>
    globSync(pattern),
  );
  return programPath('rabbitmq-server', [])?.startsWith('/usr/sbin/') === false
    ? programPath('rabbitmq-server')
    : found.map((folder) => join(folder, 'rabbitmq-server')).at(-1);
}

function environment(port: number): Record<string, string> {
  return {
    HOME: FOLDER,
    RABBITMQ_NODENAME: `cloudphone-${createHash('sha256').update(ROOT).digest('hex').slice(0, 12)}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(port + 200),
    ERL_EPMD_PORT: EPMD_PORT,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_CONFIG_FILE: join(FOLDER, 'rabbitmq'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(FOLDER, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: join(FOLDER, 'mnesia'),
    RABBITMQ_LOG_BASE: join(FOLDER, 'log'),
    // Erlang's schedulers spin when idle; on a developer's machine they share the cores with the cluster.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}',
  };
}

function prepareFolder(): void {
  mkdirSync(join(FOLDER, 'log'), { recursive: true });
  const cookie = join(FOLDER, '.erlang.cookie');
  if (!existsSync(cookie)) writeFileSync(cookie, randomBytes(24).toString('hex'), { mode: 0o400 });
  writeFileSync(join(FOLDER, 'enabled_plugins'), '[].\n');
  // A nearly full disk of a developer must not block publishers.
  writeFileSync(join(FOLDER, 'rabbitmq.conf'), 'default_user = guest\ndefault_pass = guest\ndisk_free_limit.absolute = 50MB\n');
}

const pid = () => numberIn(PID_FILE);
/** The header of AMQP 0-9-1; an answer that is not such a header again is a frame. RabbitMQ opens the port at the end of its start. */
const answers = (port: number) => answersOn(port, new Uint8Array([65, 77, 81, 80, 0, 0, 9, 1]), /^[^A]/);

async function start(port: number): Promise<void> {
  prepareFolder();
  const log = openSync(join(FOLDER, 'log', 'start.log'), 'a');
  const env = { ...process.env, ...environment(port) };
  const child = spawn(program() ?? 'rabbitmq-server', [], { cwd: FOLDER, detached: true, stdio: ['ignore', log, log], env });
  closeSync(log);
  const { pid: started } = child;
  if (started === undefined) throw new Error(`RabbitMQ could not be started: ${program() ?? 'rabbitmq-server'}`);
  child.unref();
  writeFileSync(PID_FILE, String(started));
  await until('An answer of RabbitMQ', 90_000, async () => {
    if (!isAlive(started)) throw new Error(`RabbitMQ ended while starting; its words are in ${join(FOLDER, 'log')}`);
    return answers(port);
  });
}

async function stop(): Promise<void> {
  const running = pid();
  if (running === undefined || !isAlive(running)) return;
  await end(running, 'RabbitMQ', 60_000);
  // Refuses by itself while nodes of other clones are registered.
  const epmd = programPath('epmd');
  if (epmd !== undefined) await attempt(epmd, ['-port', EPMD_PORT, '-kill']);
}

export const rabbitmq: Instance = {
  name: 'rabbitmq',
  variable: 'RABBITMQ_URL',
  saidBy: ['RABBITMQ_URL'],
  wantedPort: 25_673,
  packages: { apt: 'rabbitmq-server', brew: 'rabbitmq' },
  hasPrograms: () => program() !== undefined,
  url: (port) => `amqp://guest:guest@127.0.0.1:${port}`,
  start,
  stop,
  pid,
  answers,
};
