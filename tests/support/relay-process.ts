import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { eventually } from './eventually.ts';

/** A relay as it runs in production: a process of its own. */
export interface RelayProcess {
  readonly child: ChildProcess;
  /** What it has logged so far. */
  readonly lines: readonly string[];
  /** Resolves when it leads; throws when it does not within a minute. */
  leads(): Promise<void>;
  /** Sends a signal and resolves with the exit code, null after a kill. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/**
 * Starts `workers/relay/main.ts`.
 *
 * @param settings  variables that differ from the tests' own, such as DATABASE_URL and QUEUE_PREFIX
 */
export function spawnRelay(settings: Readonly<Record<string, string>>): RelayProcess {
  const env = { ...process.env, LOG_LEVEL: 'info', METRICS_PORT: '0', NODE_OPTIONS: '', ...settings };
  const child = spawn(process.execPath, ['--no-warnings', 'workers/relay/main.ts'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line).msg));
  return {
    child,
    lines,
    leads: () =>
      eventually(() => {
        if (!lines.includes('this process leads now')) throw new Error(`it does not lead: ${lines.join('; ')}`);
      }, 60_000),
    end: async (signal) => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal);
        await once(child, 'exit');
      }
      return child.exitCode;
    },
  };
}
