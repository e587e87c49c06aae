// Makes a fresh clone ready: dependencies, the generated Prisma client and, when asked, servers and schema. Plain
// JavaScript without dependencies, as it runs on the Node of the host (20 or newer) before anything is installed.
//
//   node scripts/ensure.mjs              dependencies and the generated client
//   node scripts/ensure.mjs --services   and Postgres, Redis, RabbitMQ up, the database at its newest migration
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const own = (...parts) => join(root, ...parts);
const changedAt = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);
const runtime = own('node_modules', '.bin', process.platform === 'win32' ? 'node.cmd' : 'node');

/** Compares what is installed (npm's own record of it) with the lock file; packages for other platforms may be absent. */
function dependenciesAreMissing() {
  const record = own('node_modules', '.package-lock.json');
  if (!existsSync(runtime) || !existsSync(record)) return true;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  const wanted = Object.entries(JSON.parse(readFileSync(own('package-lock.json'), 'utf8')).packages);
  // The folders of ours that are named there have nothing to install.
  const installable = wanted.filter(([path, { optional, link }]) => path.startsWith('node_modules/') && !optional && !link);
  return installable.some(([path, { version }]) => installed[path]?.version !== version);
}

const clientIsMissing = () => changedAt(own('prisma', 'generated', 'client.ts')) < changedAt(own('prisma', 'schema.prisma'));

function run(what, program, args) {
  if (what !== '') process.stderr.write(`${what} …\n`);
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (error) process.stderr.write(`${program}: ${error.message}\n`);
  if (status !== 0) process.exit(status ?? 1);
}

if (!(Number(process.versions.node.split('.')[0]) >= 20)) {
  process.stderr.write(`Node 20 or newer is needed to begin with; this is ${process.versions.node}.\n`);
  process.exit(1);
}
if (dependenciesAreMissing()) {
  // As the lock file says, but not by `npm ci`: that refuses a lock file written where the registry lacks packages for other
  // platforms. Nothing is saved, so the lock file stays as it is.
  run('Installing dependencies', 'npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error']);
  rmSync(own('prisma', 'generated'), { recursive: true, force: true });
}
if (clientIsMissing()) run('Generating the database client', runtime, [own('scripts', 'generate.mjs')]);
if (process.argv.includes('--services')) {
  run('', runtime, [own('scripts', 'services.ts'), 'up']);
  run('', runtime, [own('scripts', 'migrate.ts')]);
}
