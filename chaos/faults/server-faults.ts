import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { OwnServer } from '../../tests/support/own-servers.ts';
import type { ChaosFault } from '../fault.ts';
import type { Stage } from '../stage.ts';

const AWAY_MS = 4_000;
/** A database server comes back within seconds or is replaced; ours stands still as long as a statement may take. */
const SLOW_MS = 6_000;

/** Runs commands on a Redis that may be in a bad way. */
async function command({ redis: { url } }: Stage, ...words: readonly [string, ...string[]]): Promise<void> {
  const redis = new Redis(url, { maxRetriesPerRequest: 1 });
  try {
    await redis.call(...words);
  } finally {
    redis.disconnect();
  }
}

function postgresOf({ postgres }: Stage): OwnServer {
  if (postgres === undefined) throw new Error('this Postgres is not ours to stop');
  return postgres;
}

const REDIS: readonly ChaosFault[] = [
  {
    name: 'redis-restart',
    says: 'Redis is stopped and started, with its data',
    lastsMs: AWAY_MS,
    strike: ({ redis }) => redis.stop(),
    undo: ({ redis }) => redis.start(),
  },
  {
    name: 'redis-kill',
    says: 'Redis is killed and started at once, with what was on its disk',
    lastsMs: 0,
    strike: async ({ redis }) => {
      await redis.kill();
      await redis.start();
    },
  },
  { name: 'redis-flushall', says: 'Redis loses everything', lastsMs: 0, strike: (stage) => command(stage, 'FLUSHALL') },
  {
    name: 'redis-full',
    says: 'Redis is at its limit of memory and takes nothing more',
    lastsMs: AWAY_MS,
    strike: (stage) => command(stage, 'CONFIG', 'SET', 'maxmemory', '1mb'),
    undo: (stage) => command(stage, 'CONFIG', 'SET', 'maxmemory', '0'),
  },
  {
    name: 'redis-read-only',
    says: 'Redis has become a replica and refuses writes',
    lastsMs: AWAY_MS,
    strike: (stage) => command(stage, 'REPLICAOF', '127.0.0.1', '1'),
    undo: (stage) => command(stage, 'REPLICAOF', 'NO', 'ONE'),
  },
];

const POSTGRES: readonly ChaosFault[] = [
  {
    name: 'postgres-restart',
    says: 'Postgres is stopped and started',
    lastsMs: AWAY_MS,
    strike: (stage) => postgresOf(stage).stop(),
    undo: (stage) => postgresOf(stage).start(),
  },
  {
    name: 'postgres-kill',
    says: 'Postgres crashes and recovers',
    lastsMs: 0,
    strike: async (stage) => {
      await postgresOf(stage).kill();
      await postgresOf(stage).start();
    },
  },
  {
    name: 'postgres-drop-connections',
    says: 'every connection to Postgres breaks, three times',
    lastsMs: 0,
    strike: async ({ sql }) => {
      for (let times = 0; times < 3; times += 1) {
        await sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`);
        await pause(700);
      }
    },
  },
  {
    name: 'postgres-slow',
    says: 'Postgres answers nothing for some seconds: pools are exhausted, statements run into their limit',
    lastsMs: 0,
    strike: async ({ databaseUrl }) => {
      const client = new pg.Client({ connectionString: databaseUrl, application_name: 'chaos' });
      await client.connect();
      try {
        await client.query('BEGIN');
        await client.query('LOCK TABLE devices, requests, outbox IN ACCESS EXCLUSIVE MODE');
        await pause(SLOW_MS);
        await client.query('COMMIT');
      } finally {
        await client.end();
      }
    },
  },
];

/** Where the database says no. The sequence counts how often it did: it is not rolled back with what it refused. */
interface Refusal {
  readonly name: string;
  readonly says: string;
  readonly table: string;
  /** SQLSTATE. */
  readonly state: string;
  /** A condition on NEW and OLD; left out: every row that is written. */
  readonly when?: string;
  /** It says no to each so manieth. */
  readonly each: number;
  readonly lastsMs: number;
}

/** About one row in so many, the same ones each time. */
const POISONED = (id: string, among = 7) => `NEW.status <> OLD.status AND abs(hashtext(NEW.${id}::text)) % ${among} = 0`;
const SOME_ROWS = 'the database refuses to change the status of some';

const REFUSALS: readonly Refusal[] = [
  {
    name: 'postgres-deadlock',
    says: 'every third grant or end runs into a deadlock',
    table: 'outbox',
    state: '40P01',
    each: 3,
    lastsMs: 8_000,
  },
  {
    name: 'postgres-serialization',
    says: 'every third grant or end cannot be serialised',
    table: 'outbox',
    state: '40001',
    each: 3,
    lastsMs: 8_000,
  },
  {
    name: 'postgres-disk-full',
    says: 'the disk of Postgres is full: nothing is written',
    table: 'outbox',
    state: '53100',
    each: 1,
    lastsMs: 6_000,
  },
  {
    name: 'poison-reservation',
    says: `${SOME_ROWS} reservations`,
    table: 'reservations',
    state: '23514',
    when: POISONED('id', 2),
    each: 1,
    lastsMs: 12_000,
  },
  {
    name: 'poison-waiter',
    says: `${SOME_ROWS} waiting requests`,
    table: 'requests',
    state: '23514',
    when: `OLD.status = 'waiting' AND ${POISONED('id')}`,
    each: 1,
    lastsMs: 12_000,
  },
  {
    name: 'poison-bill',
    says: `${SOME_ROWS} bills`,
    table: 'ledger',
    state: '23514',
    when: POISONED('allocation_id'),
    each: 1,
    lastsMs: 12_000,
  },
];

const REFUSING = REFUSALS.map(
  ({ name, says, table, state, when, each, lastsMs }): ChaosFault => ({
    name,
    says,
    lastsMs,
    early: true,
    strike: async ({ sql }) => {
      await sql('CREATE SEQUENCE IF NOT EXISTS chaos_refusals');
      await sql(`CREATE OR REPLACE FUNCTION chaos_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('chaos_refusals') % ${each} = 0 THEN RAISE EXCEPTION 'refused by chaos' USING ERRCODE = '${state}'; END IF;
        RETURN NEW; END $$`);
      const on = when === undefined ? `INSERT ON ${table} FOR EACH ROW` : `UPDATE ON ${table} FOR EACH ROW WHEN (${when})`;
      await sql(`CREATE TRIGGER chaos_refuse BEFORE ${on} EXECUTE FUNCTION chaos_refuse()`);
    },
    evidence: async ({ sql }) => {
      const [there] = await sql<{ there: boolean }>(`SELECT to_regclass('chaos_refusals') IS NOT NULL AS there`);
      if (there?.there !== true) return 0;
      const [row] = await sql<{ count: string }>('SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS count FROM chaos_refusals');
      return Math.floor(Number(row?.count ?? 0) / each);
    },
    undo: async ({ sql }) => void (await sql(`DROP TRIGGER IF EXISTS chaos_refuse ON ${table}`)),
  }),
);

const poolExhausted: ChaosFault = {
  name: 'postgres-pool-exhausted',
  says: 'whoever decides waits for a lock on every connection there is; others answer',
  lastsMs: 0,
  early: true,
  strike: async ({ databaseUrl, sql }) => {
    const client = new pg.Client({ connectionString: databaseUrl, application_name: 'chaos' });
    await client.connect();
    let most = 0;
    try {
      await client.query('BEGIN');
      await client.query('LOCK TABLE users IN ACCESS EXCLUSIVE MODE');
      const until = performance.now() + SLOW_MS;
      while (performance.now() < until) {
        const [row] = await sql<{ waiting: number }>(
          `SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        );
        most = Math.max(most, row?.waiting ?? 0);
        await pause(200);
      }
      await client.query('COMMIT');
    } finally {
      await client.end();
    }
    if (most === 0) throw new Error('nobody waited');
  },
};

const RABBITMQ: readonly ChaosFault[] = [
  {
    name: 'rabbitmq-blocked',
    says: 'RabbitMQ is out of memory and takes nothing from those who publish',
    lastsMs: SLOW_MS,
    early: true,
    sparesTime: true,
    strike: ({ rabbitmq }) => rabbitmq.beShortOfMemory(true),
    evidence: ({ events }) => events.blocked(),
    undo: ({ rabbitmq }) => rabbitmq.beShortOfMemory(false),
  },
  {
    name: 'rabbitmq-down',
    says: 'RabbitMQ is stopped and started',
    lastsMs: AWAY_MS,
    strike: ({ rabbitmq }) => rabbitmq.stop(),
    undo: ({ rabbitmq }) => rabbitmq.start(),
  },
  {
    name: 'rabbitmq-kill',
    says: 'RabbitMQ is killed and started at once',
    lastsMs: 0,
    strike: async ({ rabbitmq }) => {
      await rabbitmq.kill();
      await rabbitmq.start();
    },
  },
  {
    name: 'rabbitmq-down-at-start',
    says: 'relay and listener start while RabbitMQ is away',
    lastsMs: AWAY_MS,
    strike: async ({ rabbitmq, processes }) => {
      await rabbitmq.stop();
      for (const name of ['relay', 'listener'] as const) {
        await processes.stop(name);
        await processes.start(name);
      }
    },
    undo: ({ rabbitmq }) => rabbitmq.start(),
  },
];

/** What may happen to the servers. */
export const SERVER_FAULTS: readonly ChaosFault[] = [...REDIS, ...POSTGRES, ...REFUSING, poolExhausted, ...RABBITMQ];
