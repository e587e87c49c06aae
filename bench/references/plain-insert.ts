import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import pg from 'pg';
import type { FleetDevice } from '../../dev/cluster/fleet.ts';

const ROWS = 1_000;
const COLUMNS: readonly (readonly [column: string, field: keyof FleetDevice])[] = [
  ['id', 'id'],
  ['name', 'name'],
  ['type', 'type'],
  ['status', 'status'],
  ['provider_type', 'providerType'],
  ['node_id', 'nodeId'],
  ['region', 'region'],
  ['cpu_cores', 'cpuCores'],
  ['memory_mb', 'memoryMB'],
  ['storage_mb', 'storageMB'],
  ['cpu_usage', 'cpuUsage'],
  ['memory_usage', 'memoryUsage'],
  ['storage_usage', 'storageUsage'],
  ['health_score', 'healthScore'],
  ['cost_per_hour', 'costPerHour'],
  ['android_version', 'androidVersion'],
  ['adb_host', 'adbHost'],
  ['adb_port', 'adbPort'],
];

/** The loader one would write first: read a line, trust it, insert a thousand at a time. @returns lines per second */
export async function insertPlainly(databaseUrl: string, file: string): Promise<number> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const began = performance.now();
  let lines = 0;
  let rows: FleetDevice[] = [];
  for await (const line of createInterface({ input: createReadStream(file) })) {
    rows.push(JSON.parse(line) as FleetDevice);
    if (rows.length < ROWS) continue;
    await insert(client, rows);
    lines += rows.length;
    rows = [];
  }
  if (rows.length > 0) await insert(client, rows);
  lines += rows.length;
  const seconds = (performance.now() - began) / 1_000;
  await client.end();
  return lines / seconds;
}

async function insert(client: pg.Client, rows: readonly FleetDevice[]): Promise<void> {
  const places = rows.map((_, row) => `(${COLUMNS.map((_column, index) => `$${row * COLUMNS.length + index + 1}`).join(',')})`);
  const values = rows.flatMap((row) => COLUMNS.map(([, field]) => row[field]));
  await client.query(`INSERT INTO devices (${COLUMNS.map(([column]) => column).join(', ')}) VALUES ${places.join(', ')}`, values);
}
