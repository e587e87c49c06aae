import type { Store } from './store.ts';
import { translated } from './store-errors.ts';

/** What a database says of itself. */
export interface ServerFacts {
  /** Of Postgres, such as `15.4`. */
  readonly version: string;
  readonly now: Date;
  /** Names of the migrations that were applied; none in a database that was never migrated. */
  readonly migrations: readonly string[];
}

/** Asks a database for its version, its time and its migrations. @throws SchedulerError STORE_UNAVAILABLE */
export async function readServerFacts({ prisma }: Store): Promise<ServerFacts> {
  const [row] = await translated(prisma.$queryRaw<{ version: string; now: Date; migrated: boolean }[]>`
    SELECT split_part(current_setting('server_version'), ' ', 1) AS version, clock_timestamp() AS now,
      to_regclass('_prisma_migrations') IS NOT NULL AS migrated`);
  if (row === undefined) throw new Error('Postgres answered a question about itself with nothing');
  if (!row.migrated) return { version: row.version, now: row.now, migrations: [] };
  const applied = await translated(prisma.$queryRaw<{ name: string }[]>`
    SELECT migration_name AS name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY migration_name`);
  return { version: row.version, now: row.now, migrations: applied.map(({ name }) => name) };
}
