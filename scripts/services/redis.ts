import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance } from './instance.ts';
import { folderOf, numberIn } from './place.ts';
import { answersOn, end, isAlive, until } from './probe.ts';
import { programPath, run } from './run.ts';

const FOLDER = folderOf('redis');
const PID_FILE = join(FOLDER, 'pid');
const program = () => programPath('redis-server', ['/opt/homebrew/bin', '/usr/local/bin']) ?? programPath('valkey-server');

/** Never evicts (queues would lose jobs) and survives a restart: at most the last second is lost. */
const SETTINGS = (port: number) => `
bind 127.0.0.1
port ${port}
dir "${FOLDER}"
daemonize yes
pidfile "${PID_FILE}"
logfile "${join(FOLDER, 'log')}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
`;

const pid = () => numberIn(PID_FILE);
const answers = (port: number) => answersOn(port, 'PING\r\n', /^\+PONG/);

async function start(port: number): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const settings = join(FOLDER, 'redis.conf');
  writeFileSync(settings, SETTINGS(port));
  await run(program() ?? 'redis-server', [settings]);
  await until('An answer of Redis', 60_000, () => answers(port));
}

async function stop(): Promise<void> {
  const running = pid();
  if (running !== undefined && isAlive(running)) await end(running, 'Redis', 30_000);
}

export const redis: Instance = {
  name: 'redis',
  variable: 'REDIS_URL',
  saidBy: ['REDIS_URL', 'REDIS_HOST', 'REDIS_CLUSTER_NODES', 'REDIS_SENTINELS'],
  wantedPort: 26_379,
  packages: { apt: 'redis-server', brew: 'redis' },
  hasPrograms: () => program() !== undefined,
  url: (port) => `redis://127.0.0.1:${port}/0`,
  start,
  stop,
  pid,
  answers,
};
