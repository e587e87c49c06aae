import pg from 'pg';

/** A history as it would be: so many allocations of the devices that are there; a third of the devices are held. */
export interface HistorySize {
  readonly allocations: number;
  readonly devices: number;
}

/** Allocations whose time has run out and that nobody has ended yet. */
export const DUE = 1_000;
/** Allocations of a user, on average. */
const OF_A_USER = 100;
const TENANTS = 100;
const CHUNK = 500_000;

/**
 * Fills the tables by `generate_series`: the newest allocations first, so that a history that takes too long to write is
 * shorter, and not another one. Indexes are built when the rows are there.
 *
 * @param longestMs  no chunk is begun after that
 * @returns how many allocations there are
 */
export async function fillHistory(databaseUrl: string, size: HistorySize, longestMs: number, say: (line: string) => void): Promise<number> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    // Foreign keys of rows that are made up from what they refer to.
    await client.query('SET session_replication_role = replica');
    const rebuild = await dropIndexes(client);
    await client.query('CREATE TEMP TABLE numbered AS SELECT id, row_number() OVER () - 1 AS n FROM devices');
    await client.query('CREATE UNIQUE INDEX ON numbered (n)');
    await client.query('ANALYZE numbered');
    const ends = performance.now() + longestMs;
    let written = 0;
    while (written < size.allocations && performance.now() < ends) {
      const some = Math.min(CHUNK, size.allocations - written);
      await insert(client, size, written, written + some - 1);
      written += some;
      say(`${written} of ${size.allocations} allocations`);
    }
    await client.query(
      `UPDATE devices d SET allocation_id = a.id, fence = a.fence FROM allocations a WHERE a.device_id = d.id AND a.ended_at IS NULL`,
    );
    for (const definition of rebuild) await client.query(definition);
    await client.query('VACUUM (FREEZE, ANALYZE) allocations, devices, ledger');
    return written;
  } finally {
    await client.end();
  }
}

/** Drops what is no constraint. @returns the statements that put it back */
async function dropIndexes(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string; definition: string }>(`
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
    WHERE indrelid IN ('allocations'::regclass, 'ledger'::regclass) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)`);
  for (const { name } of rows) await client.query(`DROP INDEX ${name}`);
  return rows.map(({ definition }) => definition);
}

/** Number 0 is the newest. The youngest third of a round of the devices is live, the oldest of those are due. */
async function insert(client: pg.Client, { devices, allocations }: HistorySize, from: number, to: number): Promise<void> {
  const live = Math.floor(devices / 3);
  const users = Math.max(1, Math.floor(allocations / OF_A_USER));
  const rounds = Math.ceil(allocations / devices);
  await client.query(
    `INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tenant_id, tier, status, fence, strategy, duration_minutes,
       cpu_cores, memory_mb, storage_mb, allocated_at, expires_at, ended_at, end_reason)
     SELECT md5('a' || i)::uuid, md5('r' || i)::uuid, numbered.id, 'device', 'user-' || (i * 7919::bigint) % $4::int, 'tenant-' || i % ${TENANTS},
       'standard', CASE WHEN i < $3 THEN 'allocated' ELSE 'released' END, $6::int - i / $5::int, 'resource_based', 60, 4, 8192, 65536,
       at, CASE WHEN i >= $3 - least(${DUE}, $3 / 2) AND i < $3 THEN at + interval '1 second' ELSE at + interval '1 year' END,
       CASE WHEN i < $3 THEN NULL ELSE at + interval '10 minutes' END, CASE WHEN i < $3 THEN NULL ELSE 'released' END
     FROM (SELECT i, now() - make_interval(secs => i + 2) AS at FROM generate_series($1::int, $2::int) AS i) AS made
     JOIN numbered ON numbered.n = i % $5::int`,
    [from, to, live, users, devices, rounds],
  );
  await client.query(
    `INSERT INTO ledger (allocation_id, device_id, device_name, user_id, tenant_id, cpu_cores, memory_mb, storage_mb, started_at, ended_at,
       duration_seconds, end_reason, status, settled_at)
     SELECT md5('a' || i)::uuid, numbered.id, 'device', 'user-' || (i * 7919::bigint) % $4::int, 'tenant-' || i % ${TENANTS}, 4, 8192, 65536,
       at, at + interval '10 minutes', 600, 'released', 'settled', now()
     FROM (SELECT i, now() - make_interval(secs => i + 2) AS at FROM generate_series(greatest($1::int, $3::int), $2::int) AS i) AS made
     JOIN numbered ON numbered.n = i % $5::int`,
    [from, to, live, users, devices],
  );
}
