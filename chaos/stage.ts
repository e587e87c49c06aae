import { appendFileSync, writeFileSync } from 'node:fs';
import pg from 'pg';
import { importFleet } from '../dev/cluster/import-fleet.ts';
import { freePort } from '../dev/cluster/ports.ts';
import { createTally, type Tally } from '../dev/demo/tally.ts';
import { type StandIns, startStandIns } from '../dev/stand-ins/stand-ins.ts';
import { type Config, loadConfig } from '../shared/config.ts';
import { type OwnRabbitmq, ownRabbitmq } from '../tests/support/own-rabbitmq.ts';
import { type OwnServer, ownPostgres, ownRedis } from '../tests/support/own-servers.ts';
import { createErrands, type Errands } from './errands.ts';
import { type EventLog, openEventLog } from './event-log.ts';
import { type Processes, startProcesses } from './processes.ts';

/** The whole product with servers and neighbours of its own: any of it may be broken. */
export interface Stage {
  /** Absent when the database is on a server of somebody else, which is not to be stopped. */
  readonly postgres: OwnServer | undefined;
  readonly redis: OwnServer;
  readonly rabbitmq: OwnRabbitmq;
  readonly databaseUrl: string;
  readonly api: string;
  readonly config: Config;
  readonly standIns: StandIns;
  readonly processes: Processes;
  readonly events: EventLog;
  /** What every caller on the stage was told, from the first round on. */
  readonly tally: Tally;
  readonly errands: Errands;
  /** Errors and warnings the processes have logged, the latest last. */
  readonly problems: readonly string[];
  /** Runs SQL, on a connection of its own. */
  sql<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

export interface StageOptions {
  /** A migrated, empty database; else a Postgres of our own is started. */
  readonly databaseUrl?: string;
  readonly devices: number;
  readonly seed: number;
  /** Where the processes' log goes. */
  readonly logFile: string;
  readonly say: (text: string) => void;
}

/** How the names of devices begin that nobody may be given. */
export const KEPT_ASIDE = 'kept-aside-';

/** Three good devices more, one that is drained, one that is cleaned and one that is stopped, until the end of the stage. */
const KEEP_ASIDE = `
  INSERT INTO devices (id, name, type, status, provider_type, cpu_cores, memory_mb, storage_mb, draining, cleaning_until)
  SELECT gen_random_uuid(), '${KEPT_ASIDE}' || why, 'phone', CASE why WHEN 'stopped' THEN 'stopped' ELSE 'running' END, 'redroid', 8, 16384, 131072,
    why = 'drained', CASE why WHEN 'cleaned' THEN now() + interval '1 day' END FROM unnest(ARRAY['drained', 'cleaned', 'stopped']) AS why`;

const SECRET = 'the secret of everybody on the stage';
/** Most devices a user may hold: low enough to be reached. */
const MOST_DEVICES = 6;
const MOST_PROBLEMS = 200;

/** Starts everything and loads a fleet. RabbitMQ takes longest and is not waited for: who needs it waits for `events.listening`. */
export async function openStage(options: StageOptions): Promise<Stage> {
  const { say, logFile } = options;
  const [postgres, redis, rabbitmq] = await Promise.all([
    options.databaseUrl === undefined ? ownPostgres() : undefined,
    ownRedis(),
    ownRabbitmq(),
  ]);
  const rabbitmqUp = rabbitmq.start();
  const databaseUrl = options.databaseUrl ?? postgres?.url ?? '';
  const standIns = await startStandIns({ secret: SECRET, defaultQuota: { limits: { maxDevices: MOST_DEVICES } } });
  const env = await environment({ databaseUrl, redis, rabbitmq, standIns });
  const problems: string[] = [];
  const tally = createTally();
  writeFileSync(logFile, '');
  const processes = await startProcesses(env, {
    onLine: (name, line) => {
      appendFileSync(logFile, `${name} ${line}\n`);
      if (/"level":(40|50|60)/.test(line)) problems.push(`${name} ${line}`);
      if (problems.length > MOST_PROBLEMS) problems.shift();
    },
    onEvent: (event) => appendFileSync(logFile, `${JSON.stringify(event)}\n`),
  });
  const events = openEventLog(rabbitmq.url);
  const api = `http://127.0.0.1:${env['PORT']}`;
  await rabbitmqUp;
  await Promise.all([processes.ready(), events.listening]);
  await importFleet(api, options.devices, options.seed, { userSecret: SECRET, serviceSecret: SECRET });
  await query(databaseUrl, KEEP_ASIDE);
  say(`${processes.names.length} processes, ${options.devices} devices, log ${logFile}`);
  return {
    ...{ postgres, redis, rabbitmq, databaseUrl, api, standIns, processes, events, problems },
    tally,
    errands: createErrands(tally),
    config: configOf(env),
    sql: (text, values) => query(databaseUrl, text, values),
    close: async () => {
      await processes.stopAll();
      await events.close();
      await standIns.close();
      await Promise.all([postgres?.remove(), redis.remove(), rabbitmq.remove()]);
    },
  };
}

interface Addresses {
  readonly databaseUrl: string;
  readonly redis: OwnServer;
  readonly rabbitmq: OwnServer;
  readonly standIns: StandIns;
}

async function environment({ databaseUrl, redis, rabbitmq, standIns }: Addresses): Promise<Record<string, string>> {
  return {
    PATH: process.env['PATH'] ?? '',
    NODE_ENV: 'test',
    LOG_LEVEL: 'info',
    PORT: String(await freePort()),
    DATABASE_URL: databaseUrl,
    DB_POOL_SIZE: '5',
    REDIS_URL: redis.url,
    RABBITMQ_URL: rabbitmq.url,
    QUEUE_PREFIX: '{scheduler}',
    USER_SERVICE_URL: standIns.user.url,
    BILLING_SERVICE_URL: standIns.billing.url,
    NOTIFICATION_SERVICE_URL: standIns.notification.url,
    JWT_SECRET: SECRET,
    SERVICE_TOKEN_SECRET: SECRET,
    SERVICE_ALLOW_LIST: 'chaos',
    DASHBOARD_PASSWORD: SECRET,
    HEARTBEAT_GRACE: '0',
    RATE_LIMIT_SERVICE_FACTOR: '1000000',
    // Neighbours are broken for long here, and nothing is to be given up for that.
    BILLING_MAX_ATTEMPTS: '100',
    NOTIFICATION_MAX_ATTEMPTS: '100',
    NOTIFICATION_RATE_LIMIT: '1000000',
    DELIVERY_BACKOFF_MAX_MS: '2000',
  };
}

function configOf(env: Readonly<Record<string, string>>): Config {
  const loaded = loadConfig(env);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}

async function query<Row extends pg.QueryResultRow>(databaseUrl: string, text: string, values: readonly unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'chaos' });
  // A connection that is broken on purpose says so in the query as well.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}
