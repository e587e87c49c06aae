import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { FaultPoint } from '../../shared/fault-point.ts';

/** A process that will be killed at one of the numbered steps, see `shared/fault-point.ts`. */
export interface ArmedProcess {
  /** Resolves when it works, or has died. */
  readonly up: Promise<void>;
  /** The signal it ended by; rejects when it ends in another way or not in time. */
  readonly died: Promise<NodeJS.Signals>;
}

const UP = /"msg":"[\w-]+ is up"|^ready$/;
/** So long a step may take to be reached on a busy machine, ms. */
const REACHED_WITHIN_MS = 40_000;

/**
 * Starts a process whose step `point` is armed with SIGKILL.
 *
 * @param program   file and arguments, for example `workers/relay/main.ts`
 * @param settings  its environment, over that of the tests
 */
export function spawnArmed(program: readonly string[], point: FaultPoint, settings: Readonly<Record<string, string>>): ArmedProcess {
  const env = { ...process.env, NODE_OPTIONS: '', LOG_LEVEL: 'info', METRICS_PORT: '0', ...settings, FAULT_POINT: point };
  const args = ['--no-warnings', '--import', './chaos/arm-fault-point.ts', ...program];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  const { promise: up, resolve: isUp } = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    if (UP.test(line)) isUp();
  });
  const died = new Promise<NodeJS.Signals>((resolve, reject) => {
    const late = setTimeout(() => child.kill('SIGTERM'), REACHED_WITHIN_MS);
    child.once('exit', (code, signal) => {
      clearTimeout(late);
      isUp();
      if (signal === 'SIGKILL') resolve(signal);
      else reject(new Error(`${program[0]} did not reach ${point}, it ended with ${signal ?? code}:\n${lines.slice(-20).join('\n')}`));
    });
  });
  return { up, died };
}
