import { Cluster } from 'ioredis';
import pg from 'pg';
import { migrate } from '../prisma/migrate.ts';
import { connectRedis } from './connect-redis.ts';
import type { BenchServers } from './scenario.ts';

/** Every key of the benchmarks is under this, and nothing else is. */
export const PREFIX = '{bench}';

const DATABASE = 'cloudphone_bench';
const LOCK = 7_270_736_903n;

/** The databases and keys of the benchmarks: nothing outside of them is touched. */
export interface Place {
  /** Address of the database that is measured. */
  readonly databaseUrl: string;
  /** The database anew, with this many devices and planner statistics, and no key in Redis. */
  renew(devices: number): Promise<void>;
  /** Drops everything. */
  close(): Promise<void>;
}

/**
 * Takes the place of the benchmarks, alone on its Postgres.
 *
 * @throws Error when another benchmark is running there
 */
export async function openPlace(servers: BenchServers, say: (line: string) => void): Promise<Place> {
  const admin = new pg.Client({ connectionString: urlOf(servers, 'postgres') });
  await admin.connect();
  const { rows } = await admin.query<{ free: boolean }>('SELECT pg_try_advisory_lock($1) AS free', [LOCK]);
  if (rows[0]?.free !== true) {
    await admin.end();
    throw new Error('another benchmark is running on this Postgres');
  }
  const seeds = new Set<number>();

  /** Filled once, then copied: every measurement finds the same files, the same statistics and no dead row. */
  async function seedOf(devices: number): Promise<string> {
    const name = `${DATABASE}_${devices}`;
    if (seeds.has(devices)) return name;
    say(`making a database of ${devices} devices`);
    await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    await migrate(urlOf(servers, name), () => undefined);
    await fill(urlOf(servers, name), devices);
    seeds.add(devices);
    return name;
  }

  return {
    databaseUrl: urlOf(servers, DATABASE),
    async renew(devices) {
      const seed = await seedOf(devices);
      await admin.query(`DROP DATABASE IF EXISTS ${DATABASE} WITH (FORCE)`);
      await admin.query(`CREATE DATABASE ${DATABASE} TEMPLATE ${seed} STRATEGY file_copy`);
      await admin.query('CHECKPOINT');
      await forgetKeys(servers);
    },
    async close() {
      await forgetKeys(servers);
      for (const name of [DATABASE, ...[...seeds].map((devices) => `${DATABASE}_${devices}`)]) {
        await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      }
      await admin.end();
    },
  };
}

function urlOf({ databaseUrl }: BenchServers, database: string): string {
  return Object.assign(new URL(databaseUrl), { pathname: `/${database}` }).href;
}

/** Phones and tablets of four sizes in three regions, all free. */
async function fill(databaseUrl: string, devices: number): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(
    `INSERT INTO devices (id, name, type, status, provider_type, region, cpu_cores, memory_mb, storage_mb, cpu_usage)
     SELECT gen_random_uuid(), 'device ' || i, CASE WHEN i % 10 = 0 THEN 'tablet' ELSE 'phone' END, 'running', 'redroid', 'region-' || i % 3,
            2 + i % 4 * 2, 4096 + i % 2 * 4096, 65536, i % 50
     FROM generate_series(1, $1::int) i`,
    [devices],
  );
  await client.query('VACUUM ANALYZE devices');
  await client.end();
}

async function forgetKeys({ redisUrl, redisClusterNodes }: BenchServers): Promise<void> {
  const redis = connectRedis({ url: redisUrl, clusterNodes: redisClusterNodes });
  const nodes = redis instanceof Cluster ? redis.nodes('master') : [redis];
  for (const node of nodes) {
    for await (const keys of node.scanStream({ match: `${PREFIX}*`, count: 5_000 })) if (keys.length > 0) await node.unlink(...keys);
  }
  redis.disconnect();
}
