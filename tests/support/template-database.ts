import { createHash } from 'node:crypto';
import pg from 'pg';
import { readMigrations } from '../../prisma/migrate.ts';
import { asAdmin, urlOf } from './postgres.ts';

const LOCK = 7_270_736_902n;

/**
 * Makes the database test databases are cloned from, once per state of the migrations, and sweeps up what earlier runs that
 * were killed have left.
 *
 * @param migrate  brings the database at an address to the newest migration
 * @returns its name
 */
export async function prepareTemplate(migrate: (databaseUrl: string) => void): Promise<string> {
  const name = `cloudphone_template_${await stateOfMigrations()}`;
  await asAdmin(async (admin) => {
    await admin.query('SELECT pg_advisory_lock($1)', [LOCK]);
    await sweep(admin);
    const { rowCount } = await admin.query('SELECT FROM pg_database WHERE datname = $1', [name]);
    if (rowCount !== 0) return;
    const draft = `${name}_draft`;
    await admin.query(`DROP DATABASE IF EXISTS ${draft}`);
    migrate(urlOf(draft));
    await admin.query(`ALTER DATABASE ${draft} RENAME TO ${name}`);
  });
  return name;
}

async function stateOfMigrations(): Promise<string> {
  const { migrationDirectories } = await readMigrations();
  return createHash('sha256').update(JSON.stringify(migrationDirectories)).digest('hex').slice(0, 16);
}

/** Test databases carry the id of the process that made them; those of processes that are gone are nobody's. */
async function sweep(admin: pg.Client): Promise<void> {
  const { rows } = await admin.query<{ datname: string }>("SELECT datname FROM pg_database WHERE datname LIKE 'cloudphone\\_test\\_%'");
  const left = rows.filter(({ datname }) => !isAlive(Number(datname.split('_')[2])));
  for (const { datname } of left) await admin.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(datname)} WITH (FORCE)`);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
