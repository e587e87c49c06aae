import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { SERVICE_SECRET } from './neighbours.ts';
import type { Wired } from './wire.ts';

/** An allocation worker as it runs in production: a process of its own. */
export interface AllocationProcess {
  readonly child: ChildProcess;
  /** Resolves when it is up; rejects when it ends before that. */
  readonly up: Promise<void>;
  /** Sends SIGTERM and resolves with the exit code. */
  end(): Promise<number | null>;
}

/** Starts `workers/allocation/main.ts` on the database, the corner of Redis and the neighbours of a test. `settings`: more of its environment. */
export function spawnAllocation(
  { databaseUrl, prefix, users, billing }: Wired,
  settings: Readonly<Record<string, string>> = {},
): AllocationProcess {
  const env = {
    ...process.env,
    NODE_OPTIONS: '',
    LOG_LEVEL: 'info',
    METRICS_PORT: '0',
    DATABASE_URL: databaseUrl,
    QUEUE_PREFIX: prefix,
    USER_SERVICE_URL: users.url,
    BILLING_SERVICE_URL: billing.url,
    JWT_SECRET: SERVICE_SECRET,
    SERVICE_TOKEN_SECRET: SERVICE_SECRET,
    ...settings,
  };
  const child = spawn(process.execPath, ['--no-warnings', 'workers/allocation/main.ts'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const up = new Promise<void>((resolve, reject) => {
    const isUp = /"msg":"[\w-]+ is up"/;
    createInterface({ input: child.stdout }).on('line', (line) => isUp.test(line) && resolve());
    child.once('exit', (code) => reject(new Error(`the allocation worker ended with ${code}`)));
  });
  return {
    child,
    up,
    end: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      return child.exitCode;
    },
  };
}
