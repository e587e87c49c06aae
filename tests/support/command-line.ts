import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { SERVICE, SERVICE_SECRET, USER_SECRET } from './api-bench.ts';

/** How a command ended, and what it said. */
export interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
  /** Standard output as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents of many shapes
  json(): any;
}

/** A command line in an environment of its own. */
export interface CommandLine {
  (...words: string[]): Promise<Said>;
  /** The same with more variables; one that is undefined is not set. */
  with(changes: Readonly<Record<string, string | undefined>>): CommandLine;
  /** The same, fed by standard input. */
  fed(input: string): CommandLine;
}

/**
 * The operator's command as a process of its own, without a terminal: nothing of the environment of the tests reaches it.
 *
 * @param environment  what it knows besides the secrets of `openApiBench`
 */
export function commandLine(environment: Readonly<Record<string, string | undefined>>, input: string = ''): CommandLine {
  const env = {
    PATH: process.env['PATH'],
    // Whatever is not said here must not come from the files of the developer.
    DATABASE_URL: '',
    REDIS_URL: '',
    RABBITMQ_URL: '',
    // Half an hour off every round zone: what is shown cannot be UTC by accident.
    TZ: 'Asia/Kolkata',
    COLUMNS: '80',
    // Half of a command's time is reading its sources: they are the same every time.
    NODE_COMPILE_CACHE: 'node_modules/.cache/node-compile-cache',
    JWT_SECRET: USER_SECRET,
    SERVICE_TOKEN_SECRET: SERVICE_SECRET,
    SERVICE_ALLOW_LIST: SERVICE,
    DASHBOARD_PASSWORD: 'not used in this test',
    ...environment,
  };
  const run = async (...words: string[]) => {
    const child = spawn(process.execPath, ['--no-warnings', 'cli/main.ts', ...words], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.end(input);
    const [out, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    return { code, out, errors, json: () => JSON.parse(out) };
  };
  return Object.assign(run, {
    with: (changes: Readonly<Record<string, string | undefined>>) => commandLine({ ...environment, ...changes }, input),
    fed: (fed: string) => commandLine(environment, fed),
  });
}

/** The widest line of a text, in characters. */
export function widthOf(printed: string): number {
  return Math.max(...printed.split('\n').map((line) => line.length));
}
