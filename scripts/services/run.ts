import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** How a program is run: its folder, its environment (added to ours) and the longest time it may take, ms. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** What a program said, and its exit code. */
export interface Ran {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

const LONGEST_MS = 15 * 60_000;

/** Runs a program to its end; a bad exit code is a result, not an error. */
export function attempt(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const settings = {
    cwd: options.cwd ?? '/',
    env: { ...process.env, ...options.env },
    timeout: options.timeoutMs ?? LONGEST_MS,
    maxBuffer: 64 * 1024 * 1024,
  };
  return new Promise((resolve) => {
    execFile(program, args, settings, (error, output, errors) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, output, errors: errors === '' && error !== null ? error.message : errors });
    });
  });
}

/** Runs a program to its end. Throws with what it said when it fails. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, output, errors } = await attempt(program, args, options);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${tail(errors === '' ? output : errors)}`);
  return output;
}

function tail(text: string): string {
  return text.trim().split('\n').slice(-15).join('\n');
}

/** The full path of a program, looked for on the PATH and then in the given folders. */
export function programPath(name: string, folders: readonly string[] = []): string | undefined {
  const places = [...(process.env['PATH'] ?? '').split(delimiter), ...folders];
  return places
    .filter((place) => place !== '')
    .map((place) => join(place, name))
    .find(isExecutable);
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
