import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** A database of one test (or one file), migrated and empty. */
export interface TestDatabase {
  readonly url: string;
  readonly name: string;
  /** Drops it, whoever may still be connected. */
  drop(): Promise<void>;
}

/** The address of a database on the server the tests use. */
export function urlOf(database: string): string {
  return Object.assign(new URL(process.env['DATABASE_URL'] ?? ''), { pathname: `/${database}` }).href;
}

/** Clones the migrated template: a fraction of a second, and no test sees another's rows. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const template = pg.escapeIdentifier(process.env['TEST_TEMPLATE_DATABASE'] ?? '');
  const name = `cloudphone_test_${process.pid}_${randomBytes(6).toString('hex')}`;
  await asAdmin((admin) => admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`));
  return {
    url: urlOf(name),
    name,
    drop: () => asAdmin(async (admin) => void (await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))),
  };
}

/** Runs statements that belong to the server and no database. */
export async function asAdmin<T>(work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: urlOf('postgres') });
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}
