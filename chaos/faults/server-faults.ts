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

const RABBITMQ: readonly ChaosFault[] = [
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
export const SERVER_FAULTS: readonly ChaosFault[] = [...REDIS, ...POSTGRES, ...RABBITMQ];
