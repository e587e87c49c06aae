import { readdir } from 'node:fs/promises';
import { readServerFacts, type ServerFacts } from '../../shared/store/server-facts.ts';
import { createStore } from '../../shared/store/store.ts';
import { distanceOf } from './check-clock.ts';
import { type Finding, fine } from './finding.ts';
import { reasonOf } from './reason-of.ts';

const TIMEOUT_MS = 5_000;
/** The oldest major of Postgres that everything is tested on. */
export const OLDEST_POSTGRES = 15;

/** Whether Postgres can be used: reachable, new enough, migrated, its clock right. */
export async function checkPostgres(databaseUrl: string): Promise<Finding[]> {
  const { hostname, port, pathname } = new URL(databaseUrl);
  const place = `${hostname}:${port || 5432}${pathname}`;
  const options = { databaseUrl, poolSize: 1, acquireTimeoutMs: TIMEOUT_MS, statementTimeoutMs: TIMEOUT_MS, applicationName: 'doctor' };
  const store = createStore(options);
  try {
    // The first call pays for connecting; the second one tells the time.
    await readServerFacts(store);
    const began = Date.now();
    const facts = await readServerFacts(store);
    return [version(place, facts), await migrations(facts), distanceOf('postgres clock', 'Postgres', facts.now, began, Date.now())];
  } catch (error) {
    return [away(place, reasonOf(error))];
  } finally {
    await store.close();
  }
}

function away(place: string, reason: string): Finding {
  const missing = /does not exist/.test(reason);
  const fix = missing
    ? ['npm run db:migrate makes the database and its tables.']
    : ['Start it (`npm run services -- up` for development), and check DATABASE_URL or DB_*: host, port, user, password.'];
  return { name: 'postgres', status: 'failed', says: `${place} cannot be used: ${reason}`, fix };
}

function version(place: string, { version: full }: ServerFacts): Finding {
  if (Number.parseInt(full, 10) >= OLDEST_POSTGRES) return fine('postgres', `${place} answers, version ${full}`);
  return { name: 'postgres', status: 'failed', says: `${place} has version ${full}`, fix: [`Use ${OLDEST_POSTGRES} or newer.`] };
}

async function migrations({ migrations: applied }: ServerFacts): Promise<Finding> {
  const entries = await readdir(new URL('../../prisma/migrations', import.meta.url), { withFileTypes: true });
  const known = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const missing = known.filter((name) => !applied.includes(name));
  const newer = applied.filter((name) => !known.includes(name));
  const fix = ['npm run db:migrate (in a container: node scripts/migrate.ts)'];
  if (missing.length > 0)
    return {
      name: 'migrations',
      status: 'failed',
      says: `${missing.length} of ${known.length} are missing, first ${missing.toSorted()[0]}`,
      fix,
    };
  if (newer.length > 0)
    return {
      name: 'migrations',
      status: 'warning',
      says: `the database has ${newer.length} this version does not know`,
      fix: ['Use the newest version everywhere.'],
    };
  return fine('migrations', `all ${known.length} are there`);
}
