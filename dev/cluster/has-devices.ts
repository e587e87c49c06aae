import pg from 'pg';

/** Whether there is any device in the fleet. */
export async function hasDevices(databaseUrl: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query(`SELECT 1 FROM devices WHERE status <> 'deleted' LIMIT 1`);
    return (rowCount ?? 0) > 0;
  } finally {
    await client.end();
  }
}
