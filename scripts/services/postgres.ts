import { createHash } from 'node:crypto';
import { chownSync, existsSync, globSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from './instance.ts';
import { folderOf, numberIn, PLACE, ROOT } from './place.ts';
import { answersOn, isAlive } from './probe.ts';
import { say } from './progress.ts';
import { attempt, isExecutable, run } from './run.ts';

/** Postgres refuses to run as root: there it runs as the user its package made. */
const ACCOUNT = 'postgres';
const FOLDER = folderOf('postgres');
const DATA = join(FOLDER, 'data');
const BINARY_FOLDERS = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/opt/homebrew/opt/postgresql*/bin',
  '/usr/local/opt/postgresql*/bin',
  '/usr/local/bin',
  '/usr/bin',
];

/** As durable as in production: what is answered is on the disk. Only TCP, as the folder's path may be too long for a socket. */
const SETTINGS = (port: number) => `
listen_addresses = '127.0.0.1'
port = ${port}
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
fsync = on
synchronous_commit = on
max_wal_size = 2GB
timezone = 'UTC'
log_timezone = 'UTC'
`;

const isRoot = () => process.getuid?.() === 0;

/** The newest programs, or those of the version that wrote the data. */
function binary(name: string): string | undefined {
  const folders = BINARY_FOLDERS.flatMap((pattern) => globSync(pattern)).filter((folder) => isExecutable(join(folder, 'initdb')));
  const written = existsSync(join(DATA, 'PG_VERSION')) ? readFileSync(join(DATA, 'PG_VERSION'), 'utf8').trim() : undefined;
  const newestFirst = folders.toSorted((one, other) => versionOf(other) - versionOf(one));
  const folder = newestFirst.find((each) => written !== undefined && versionOf(each) === Number(written)) ?? newestFirst[0];
  return folder === undefined ? undefined : join(folder, name);
}

function versionOf(folder: string): number {
  return Number(/(\d+)[^/]*\/bin$/.exec(folder)?.[1] ?? 0);
}

async function pg(name: string, args: readonly string[]): Promise<string> {
  const program = binary(name) ?? name;
  return isRoot() ? run('runuser', ['-u', ACCOUNT, '--', program, ...args]) : run(program, args);
}

/** Makes the folder; where the account cannot reach it (a private home), it lies in /var/tmp behind a link. */
async function prepareFolder(): Promise<void> {
  mkdirSync(PLACE, { recursive: true, mode: 0o755 });
  if (!isRoot()) return void mkdirSync(FOLDER, { recursive: true });
  if (isLinked()) return makeOwned(outsideFolder());
  await makeOwned(FOLDER);
  if ((await attempt('runuser', ['-u', ACCOUNT, '--', 'test', '-w', FOLDER])).code === 0) return;
  rmSync(FOLDER, { recursive: true });
  await makeOwned(outsideFolder());
  symlinkSync(outsideFolder(), FOLDER);
  say(`  postgres: its account cannot enter ${ROOT}; its data lie in ${outsideFolder()}`);
}

async function makeOwned(folder: string): Promise<void> {
  if (existsSync(folder)) return;
  rmSync(folder, { force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const [uid, gid] = await Promise.all([run('id', ['-u', ACCOUNT]), run('id', ['-g', ACCOUNT])]);
  chownSync(folder, Number(uid), Number(gid));
}

function isLinked(): boolean {
  return lstatSync(FOLDER, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

function outsideFolder(): string {
  return `/var/tmp/cloudphone-scheduler-${createHash('sha256').update(ROOT).digest('hex').slice(0, 12)}`;
}

async function create(): Promise<void> {
  if (existsSync(join(DATA, 'PG_VERSION'))) return;
  say('  postgres: making an empty cluster');
  await pg('initdb', ['-D', realData(), '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C']);
}

/** The account may be unable to follow a link it cannot see: it gets the path behind it. */
function realData(): string {
  return isLinked() ? join(outsideFolder(), 'data') : DATA;
}

async function start(port: number): Promise<void> {
  await prepareFolder();
  await create();
  writeFileSync(join(DATA, 'postgresql.auto.conf'), SETTINGS(port));
  await pg('pg_ctl', ['-D', realData(), '-l', join(realData(), '..', 'log'), '-w', '-t', '60', 'start']);
}

const pid = () => numberIn(join(DATA, 'postmaster.pid'));

async function stop(): Promise<void> {
  if (isAlive(pid())) await pg('pg_ctl', ['-D', realData(), '-m', 'fast', '-w', '-t', '60', 'stop']);
}

/** Removes what lies outside of the project's folder. */
export function removeOutsidePostgres(): void {
  rmSync(outsideFolder(), { recursive: true, force: true });
}

/** SSLRequest: eight bytes every Postgres answers with one letter. */
const SSL_REQUEST = new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]);

export const postgres: Instance = {
  name: 'postgres',
  variable: 'DATABASE_URL',
  saidBy: ['DATABASE_URL', 'DB_HOST'],
  wantedPort: 25_432,
  packages: { apt: 'postgresql', brew: 'postgresql@17' },
  hasPrograms: () => binary('initdb') !== undefined,
  url: (port) => `postgresql://postgres@127.0.0.1:${port}/cloudphone_device`,
  start,
  stop,
  pid,
  answers: (port) => answersOn(port, SSL_REQUEST, /^[SN]/),
};
