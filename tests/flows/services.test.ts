import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from '@jest/globals';

/** `npm run services -- VERB`. @returns what it said, and its exit code */
async function services(
  verb: string,
  said: Readonly<Record<string, string>> = {},
): Promise<{ output: string; errors: string; code: number }> {
  const env = { ...process.env, ...said };
  const child = spawn(process.execPath, ['--no-warnings', 'scripts/services.ts', verb], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [output, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { output, errors, code };
}

describe('npm run services', () => {
  test('up does nothing when everything is up, and prints the three addresses', async () => {
    const lines = ['DATABASE_URL', 'REDIS_URL', 'RABBITMQ_URL'].map((name) => `${name}=${process.env[name]}`);
    expect(await services('up')).toEqual({ output: `${lines.join('\n')}\n`, errors: '', code: 0 });
  });

  test('status is an aligned table that tells who runs what, and whether it is up', async () => {
    const elsewhere = { DATABASE_URL: 'postgresql://somebody@127.0.0.1:1/theirs', RABBITMQ_URL: '' };
    const { output, code } = await services('status', elsewhere);
    const rows = output.trim().split('\n');
    expect(code).toBe(0);
    expect(rows.map((row) => row.indexOf(rows[0]?.includes('state') ? (row.split(/ {2,}/)[1] ?? '') : ''))).toEqual([10, 10, 10, 10]);
    expect(rows[1]).toMatch(/^postgres +down +the environment +127\.0\.0\.1:1$/);
    expect(rows[2]).toMatch(/^redis +up /);
    expect(rows[3]).toMatch(/^rabbitmq +off +the environment +-$/);
  });

  test('says what it can do when it is asked for something else', async () => {
    expect(await services('dance')).toMatchObject({ code: 2, errors: expect.stringContaining('up|down|status|reset') });
  });
});
