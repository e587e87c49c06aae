import { Redis } from 'ioredis';
import pg from 'pg';
import { migrate } from '../../prisma/migrate.ts';
import type { Config } from '../../shared/config.ts';
import { freePort, freePortNear } from '../cluster/ports.ts';

/** Where a run takes place: a database and a corner of Redis of its own, stand-ins of its own, so that it may be run again and again. */
export interface DemoPlace {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly databaseUrl: string;
  readonly prefix: string;
  readonly userService: string;
  readonly billingService: string;
  readonly standIns: { readonly args: readonly string[]; readonly summaryPort: number };
  /** Where the processes' log goes. */
  readonly logFile: string;
  /** Lets another run have the place. */
  leave(): Promise<void>;
}

/** A run that is going on keeps its place; one started beside it takes the next. */
const PLACES = 9;
const LOCK = 7_270_736_902n;
/** Connections per process: a dozen processes share one Postgres. */
const POOL = '6';

/** Makes the place: the database anew and migrated, nothing under the prefix. */
export async function makeDemoPlace(
  said: Readonly<Record<string, string | undefined>>,
  config: Config,
  extra: Readonly<Record<string, string>>,
): Promise<DemoPlace> {
  const { name, admin } = await takePlace(config.DATABASE_URL);
  const databaseUrl = urlOf(config.DATABASE_URL, name);
  const prefix = `{scheduler-${name}}`;
  await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await admin.query(`CREATE DATABASE ${name}`);
  await migrate(databaseUrl, () => undefined);
  await forget(config, prefix);
  const [userPort, billingPort, notificationPort, summaryPort] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const at = (port: number) => `http://127.0.0.1:${port}`;
  return {
    databaseUrl,
    prefix,
    logFile: `.services/${name}.log`,
    leave: () => admin.end(),
    userService: at(userPort),
    billingService: at(billingPort),
    standIns: {
      args: ['--user-port', `${userPort}`, '--billing-port', `${billingPort}`, '--notification-port', `${notificationPort}`],
      summaryPort,
    },
    env: {
      DB_POOL_SIZE: POOL,
      ...said,
      ...extra,
      DATABASE_URL: databaseUrl,
      QUEUE_PREFIX: prefix,
      USER_SERVICE_URL: at(userPort),
      BILLING_SERVICE_URL: at(billingPort),
      NOTIFICATION_SERVICE_URL: at(notificationPort),
      SERVICE_ALLOW_LIST: [...config.SERVICE_ALLOW_LIST, 'demo'].join(','),
      METRICS_PORT: undefined,
      PORT: String(await freePortNear(config.PORT)),
      DASHBOARD_PORT: String(await freePortNear(config.DASHBOARD_PORT)),
    },
  };
}

function urlOf(databaseUrl: string, database: string): string {
  return Object.assign(new URL(databaseUrl), { pathname: `/${database}` }).href;
}

/** The first place nobody is at. It is ours for as long as the connection lives. */
async function takePlace(databaseUrl: string): Promise<{ name: string; admin: pg.Client }> {
  const admin = new pg.Client({ connectionString: urlOf(databaseUrl, 'postgres'), application_name: 'demo' });
  // Ended by a restart of Postgres: the place is free then, which nobody here needs to know.
  admin.on('error', () => undefined);
  await admin.connect();
  for (let place = 1; place <= PLACES; place += 1) {
    const { rows } = await admin.query<{ ours: boolean }>('SELECT pg_try_advisory_lock($1::bigint) AS ours', [LOCK + BigInt(place)]);
    if (rows[0]?.ours === true) return { name: place === 1 ? 'demo' : `demo_${place}`, admin };
  }
  await admin.end();
  throw new Error(`${PLACES} demos are running already`);
}

/** Deletes what an earlier run left in Redis. A prefix with a hash tag lies on one node of a cluster. */
async function forget({ REDIS_URL, REDIS_ADDRESS: { clusterNodes, sentinels } }: Config, prefix: string): Promise<void> {
  if (clusterNodes.length > 0) throw new Error('the demo needs a single Redis; REDIS_CLUSTER_NODES is set');
  if (sentinels !== undefined) throw new Error('the demo needs a single Redis; REDIS_SENTINELS is set');
  const redis = new Redis(REDIS_URL, { maxRetriesPerRequest: 1 });
  try {
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1_000 })) if (keys.length > 0) await redis.unlink(...keys);
  } finally {
    redis.disconnect();
  }
}
