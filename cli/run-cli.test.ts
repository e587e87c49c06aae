import { spawnSync } from 'node:child_process';
import { Readable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { readCliEnvironment } from './cli-environment.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { runCli } from './run-cli.ts';
import { createScreen } from './screen.ts';

const ID = '00000000-0000-4000-8000-000000000009';

/** Runs a command line that never gets as far as asking anybody. */
async function run(...words: string[]): Promise<{ code: number; out: string; errors: string }> {
  let [out, errors] = ['', ''];
  const notAsked = () => {
    throw new Error('nobody is asked in these tests');
  };
  const code = await runCli(words, {
    environment: readCliEnvironment({ JWT_SECRET: 'a secret that is never shown to anybody' }),
    stdout: {
      write: (text: string) => {
        out += text;
      },
    },
    stderr: {
      write: (text: string) => {
        errors += text;
      },
    },
    stdin: Readable.from([]),
    secrets: notAsked,
    configuration: notAsked,
  });
  return { code, out, errors };
}

describe('a wrong command line', () => {
  test.each([
    [['lst'], "unknown command 'lst'\n  Did you mean list?", '--help'],
    [['list', '--lmit', '3'], "unknown option '--lmit'\n  Did you mean --limit?", 'list --help'],
    [['list', '--limit', '0'], 'It must be a whole number from 1.', 'list --help'],
    [['list', '--limit', '3', '--all'], "option '--limit <n>' cannot be used with option '--all'", 'list --help'],
    [['allocate', 'ann', '--wait', '31'], 'It must be a whole number, 0 to 30.', 'allocate --help'],
    [['queue', 'shw'], "unknown command 'shw'; there are list, show, stats, join, leave", 'queue --help'],
    [['release', 'x'], 'It must be an id such as', 'release --help'],
    [['extend', ID], "required option '--by <time>' not specified", 'extend --help'],
    [['extend', ID, '--by', 'soon'], 'It must be whole minutes: 90, 90m, 2h or 1h30m.', 'extend --help'],
    [['jobs', 'run'], "missing required argument 'job'", 'jobs run --help'],
  ])('%j ends with 2, and says what is allowed', async (words, said, help) => {
    const { code, out, errors } = await run(...words);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(errors).toMatch(/^error {2}/);
    expect(errors).toContain(said);
    expect(errors).toContain(`→ cloudphone-scheduler ${help}\n`);
  });

  test.each([
    [['list', '--token', 'x.y'], '--token is not a token'],
    [['list', '--url', 'here'], '--url: here is not an address.'],
    [['dead-letters', 'retry', ID, '--kind', 'usage'], '--kind and --limit are for many'],
  ])('%j ends with 2 before anybody is asked', async (words, said) => {
    expect(await run(...words)).toMatchObject({ code: 2, out: '', errors: expect.stringContaining(said) });
  });

  test('is a document for scripts', async () => {
    const { code, errors } = await run('list', '--lmit', '--json');
    expect({ code, ...JSON.parse(errors) }).toMatchObject({ code: 2, error: { code: 'USAGE', exitCode: 2, hints: [expect.any(String)] } });
  });

  test('without a command shows them all', async () => {
    const { code, errors } = await run();
    expect({ code, errors }).toEqual({ code: 2, errors: expect.stringContaining('Devices and users:') });
  });
});

describe('help', () => {
  test('fits 80 columns and says how the command ends', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(0);
    for (const { code: exit, meaning } of Object.values(EXIT_CODES)) expect(out.replaceAll(/\s+/g, ' ')).toContain(` ${exit} ${meaning}`);
    for (const words of [['--help'], ['allocate', '--help'], ['queue', '--help'], ['dead-letters', 'retry', '--help']]) {
      const help = await run(...words);
      expect(help.code).toBe(0);
      expect(Math.max(...help.out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    }
  });
});

describe('completion', () => {
  /** What bash offers for the last word. */
  async function offered(...words: string[]): Promise<string[]> {
    const { out } = await run('completion', 'bash');
    const script = `${out}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cloudphone_scheduler; printf '%s\\n' "\${COMPREPLY[@]}"; complete -p cloudphone-scheduler`;
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-euc', script, 'bash', 'cloudphone-scheduler', ...words], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(stdout).toContain('complete -o default -F _cloudphone_scheduler cloudphone-scheduler');
    return stdout.split('\n').filter((line) => line !== '' && !line.startsWith('complete '));
  }

  test.each([
    [['al'], ['allocate']],
    [['dead-letters', 're'], ['retry']],
    [
      ['list', '--status', ''],
      ['allocated', 'released', 'expired', 'any'],
    ],
    [['list', '--user', 'ann', '--st'], ['--status']],
    [['queue', '--sta'], ['--status']],
    [
      ['jobs', 'pause', 'exp'],
      ['expire', 'expiring-soon'],
    ],
    [['list', '--user', ''], []],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish', '--json', '--help'],
    ],
  ])('offers for %j in bash: %j', async (words, expected) => {
    expect(await offered(...words)).toEqual(expected);
  });

  test.each(['bash', 'zsh', 'fish'])('for %s knows every command', async (shell) => {
    const { out } = await run('completion', shell);
    for (const word of ['allocate', 'dead-letters', 'doctor', 'reservations', 'activate']) expect(out).toContain(word);
    expect(JSON.parse((await run('completion', shell, '--json')).out)).toEqual({ shell, script: out });
  });
});

describe('the environment', () => {
  const read = readCliEnvironment;

  test('says where the API is', () => {
    expect(read({}).url).toBe('http://127.0.0.1:30002');
    expect(read({ PORT: '1', HOST: '0.0.0.0' }).url).toBe('http://127.0.0.1:1');
    expect(read({ PORT: '1', HOST: 'fe80::1' }).url).toBe('http://[fe80::1]:1');
    expect(read({ PORT: '1', SCHEDULER_URL: 'https://x' }).url).toBe('https://x');
  });

  test('gives no secrets away in production', () => {
    const secrets = { JWT_SECRET: 'a', SERVICE_TOKEN_SECRET: 'b' };
    expect(read(secrets)).toMatchObject({ userSecret: 'a', serviceSecret: 'b' });
    expect(read({ JWT_SECRET: 'a' })).toMatchObject({ serviceSecret: 'a' });
    expect(read({ ...secrets, NODE_ENV: 'production' })).toMatchObject({ userSecret: undefined, serviceSecret: undefined });
  });

  test('decides about colours and width', () => {
    const coloured = (terminal: object, said: Record<string, string>) => createScreen(terminal, read(said)).paint.red('x') !== 'x';
    expect(coloured({ isTTY: true }, {})).toBe(true);
    expect(coloured({}, {})).toBe(false);
    expect(coloured({ isTTY: true }, { NO_COLOR: '1' })).toBe(false);
    expect(coloured({}, { FORCE_COLOR: '1' })).toBe(true);
    expect(coloured({}, { FORCE_COLOR: '1', NO_COLOR: '1' })).toBe(false);
    const width = (terminal: object, said: Record<string, string>) => createScreen(terminal, read(said)).width;
    expect([width({ columns: 120 }, { COLUMNS: '90' }), width({}, { COLUMNS: '90' }), width({}, {})]).toEqual([120, 90, 80]);
  });
});
