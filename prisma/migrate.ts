import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { MigrationList } from '@prisma/schema-engine-wasm';
import pg from 'pg';
import { connectSchemaEngine } from './schema-engine.ts';

const FOLDER = fileURLToPath(new URL('migrations', import.meta.url));
/** Any number nobody else uses: two migrations at once take turns. */
const LOCK = 7_270_736_901n;
const EXISTS = new Set(['42P04', '23505']);

/** The migrations as the engine wants them: every folder with its SQL. */
export async function readMigrations(): Promise<MigrationList> {
  const entries = await readdir(FOLDER, { withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .toSorted();
  const migrationDirectories = names.map(async (name) => {
    const value = await readFile(`${FOLDER}/${name}/migration.sql`, 'utf8');
    return { path: name, migrationFile: { path: 'migration.sql', content: { tag: 'ok' as const, value } } };
  });
  return {
    baseDir: FOLDER,
    lockfile: { path: 'migration_lock.toml', content: await readFile(`${FOLDER}/migration_lock.toml`, 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: await Promise.all(migrationDirectories),
  };
}

/**
 * Brings a database to the newest migration, making the database first if there is none. What was applied stands in
 * `_prisma_migrations` as `prisma migrate deploy` writes it; a second run changes nothing.
 *
 * @param databaseUrl  address of the database
 * @param say          gets a sentence per step
 * @returns the names of the migrations applied now
 */
export async function migrate(databaseUrl: string, say: (line: string) => void): Promise<readonly string[]> {
  await createIfMissing(databaseUrl, say);
  const guard = new pg.Client({ connectionString: databaseUrl });
  await guard.connect();
  try {
    await guard.query('SELECT pg_advisory_lock($1)', [LOCK]);
    return await applyAll(databaseUrl, say);
  } finally {
    await guard.end();
  }
}

async function applyAll(databaseUrl: string, say: (line: string) => void): Promise<readonly string[]> {
  const migrationsList = await readMigrations();
  const { engine, close } = await connectSchemaEngine(databaseUrl);
  try {
    const filters = { externalTables: [], externalEnums: [] };
    const { appliedMigrationNames } = await engine.applyMigrations({ migrationsList, filters });
    for (const name of appliedMigrationNames) say(`applied ${name}`);
    say(`${migrationsList.migrationDirectories.length} migrations, ${appliedMigrationNames.length} of them new`);
    return appliedMigrationNames;
  } finally {
    await close();
  }
}

async function createIfMissing(databaseUrl: string, say: (line: string) => void): Promise<void> {
  const name = decodeURIComponent(new URL(databaseUrl).pathname.slice(1));
  if (await exists(databaseUrl)) return;
  const admin = new pg.Client({ connectionString: Object.assign(new URL(databaseUrl), { pathname: '/postgres' }).href });
  await admin.connect();
  try {
    await admin.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
    say(`made database ${name}`);
  } catch (error) {
    // Another migration made it in the meantime.
    if (!(error instanceof pg.DatabaseError && EXISTS.has(error.code ?? ''))) throw error;
  } finally {
    await admin.end();
  }
}

async function exists(databaseUrl: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: databaseUrl });
  try {
    await client.connect();
    await client.end();
    return true;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '3D000') return false;
    throw error;
  }
}
