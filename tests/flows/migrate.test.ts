import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { readMigrations } from '../../prisma/migrate.ts';
import { asAdmin, urlOf } from '../support/postgres.ts';

let name: string;

beforeEach(() => {
  name = `cloudphone_test_${process.pid}_${randomBytes(6).toString('hex')}`;
});

afterEach(() => asAdmin((admin) => admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)));

/** `npm run db:migrate` (or another script) in a process of its own. @returns what it said, and its exit code */
async function runApart(script = 'scripts/migrate.ts', databaseUrl = urlOf(name)): Promise<{ said: string; code: number | null }> {
  const env = { ...process.env, DATABASE_URL: databaseUrl };
  const child = spawn(process.execPath, ['--no-warnings', script], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [output, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { said: output + errors, code };
}

async function rows<T extends pg.QueryResultRow>(sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: urlOf(name) });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('npm run db:migrate', () => {
  test('makes the database, applies every migration, and changes nothing the second time', async () => {
    const { migrationDirectories } = await readMigrations();
    const first = await runApart();
    expect(first).toMatchObject({ code: 0, said: expect.stringContaining(`made database ${name}`) });
    for (const { path } of migrationDirectories) expect(first.said).toContain(`applied ${path}`);

    const before = await rows('SELECT * FROM _prisma_migrations ORDER BY migration_name');
    expect(await runApart()).toMatchObject({ code: 0, said: expect.stringContaining('0 of them new') });
    expect(await rows('SELECT * FROM _prisma_migrations ORDER BY migration_name')).toEqual(before);
  });

  test('two at once take turns: each migration is applied once', async () => {
    const both = await Promise.all([runApart(), runApart()]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    const applied = await rows<{ migration_name: string }>('SELECT migration_name FROM _prisma_migrations ORDER BY 1');
    const { migrationDirectories } = await readMigrations();
    expect(applied.map((row) => row.migration_name)).toEqual(migrationDirectories.map(({ path }) => path));
  });

  test('records what it did as `prisma migrate deploy` reads it: checksums of the files, finished, one step each', async () => {
    await runApart();
    const { migrationDirectories } = await readMigrations();
    const wanted = migrationDirectories.map(({ path, migrationFile: { content } }) => ({
      migration_name: path,
      checksum: createHash('sha256').update(content.value).digest('hex'),
      applied_steps_count: 1,
      logs: null,
      rolled_back_at: null,
      finished: true,
    }));
    const sql = `SELECT migration_name, checksum, applied_steps_count, logs, rolled_back_at, finished_at IS NOT NULL AS finished
      FROM _prisma_migrations ORDER BY migration_name`;
    expect(await rows(sql)).toEqual(wanted);
  });

  test('leaves a database that schema.prisma describes to the last column and index', async () => {
    await runApart();
    expect(await runApart('tests/support/print-difference.ts')).toEqual({ code: 0, said: '' });
  });

  test('says what is wrong in one line when the server cannot be reached', async () => {
    const { code, said } = await runApart('scripts/migrate.ts', 'postgresql://postgres@127.0.0.1:1/none');
    expect(code).toBe(1);
    expect(said.trim().split('\n')).toEqual([expect.stringMatching(/^migrate: .*(ECONNREFUSED|127\.0\.0\.1)/)]);
  });

  test('has schema.prisma without a model that no migration makes', async () => {
    const models = [...(await readFile('prisma/schema.prisma', 'utf8')).matchAll(/@@map\("(\w+)"\)/g)].map(([, table]) => table);
    await runApart();
    const tables = await rows<{ name: string }>(
      "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    );
    expect(models.toSorted()).toEqual(
      tables
        .map((table) => table.name)
        .filter((table) => table !== '_prisma_migrations')
        .toSorted(),
    );
  });
});
