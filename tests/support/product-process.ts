import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { eventually } from './eventually.ts';

/** A process of the product as it runs in production. */
export interface ProductProcess {
  readonly child: ChildProcess;
  /** Messages it has logged so far. */
  readonly lines: readonly string[];
  /** Resolves when it has logged such a message; throws when it has not within a minute. */
  says(message: RegExp): Promise<void>;
  /** Sends SIGTERM and resolves with the exit code. */
  end(): Promise<number | null>;
}

/**
 * @param file      a `main.ts`
 * @param settings  variables that differ from the tests' own
 */
export function spawnProduct(file: string, settings: Readonly<Record<string, string>>): ProductProcess {
  const env = { ...process.env, NODE_OPTIONS: '', LOG_LEVEL: 'info', METRICS_PORT: '0', ...settings };
  const child = spawn(process.execPath, ['--no-warnings', file], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line).msg));
  return {
    child,
    lines,
    says: (message) =>
      eventually(() => {
        if (!lines.some((line) => message.test(line))) throw new Error(`${file} has not said ${message}: ${lines.join('; ')}`);
      }, 60_000),
    end: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      return child.exitCode;
    },
  };
}
