import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { makeFleet } from '../dev/cluster/fleet.ts';
import { alternate } from './alternate.ts';
import { type BenchCluster, startBenchCluster } from './cluster.ts';
import { openPlace, type Place } from './place.ts';
import { insertPlainly } from './references/plain-insert.ts';
import { watchResident } from './resident.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { ratioOf, spreadOf } from './spread.ts';

const SEED = 7;
const COMPARED = 200_000;
const WHOLE = 1_000_000;
const QUICK = 20_000;

/** A fleet through the HTTP import. */
export const importing: Scenario = {
  name: 'import',
  about: 'a fleet through POST /scheduler/devices/import as NDJSON, plain multi-row INSERTs of the same rows beside it; memory of the API',
  run: async (run) => {
    const place = await openPlace(run.servers, run.say);
    const folder = await mkdtemp(join(tmpdir(), 'bench-import-'));
    try {
      await place.renew(0);
      const cluster = await startBenchCluster(run.servers, place);
      try {
        return [
          ...(await compare(run, place, cluster, join(folder, 'some'))),
          ...(await whole(run, place, cluster, join(folder, 'whole'))),
        ];
      } finally {
        await cluster.close();
      }
    } finally {
      await rm(folder, { recursive: true });
      await place.close();
    }
  },
};

async function compare(run: BenchRun, place: Place, cluster: BenchCluster, file: string): Promise<Figure[]> {
  const lines = run.quick ? QUICK : COMPARED;
  await writeFleet(file, lines);
  const numbers = await alternate<'lines/s'>(run, [
    { name: 'ours', measure: async () => ({ 'lines/s': await fresh(place, () => importFile(cluster, file, lines)) }) },
    { name: 'plain INSERTs', measure: async () => ({ 'lines/s': await fresh(place, () => insertPlainly(place.databaseUrl, file)) }) },
  ]);
  return [
    {
      measure: `${lines} devices`,
      unit: '/s',
      ours: spreadOf(numbers(0, 'lines/s')),
      reference: { name: 'multi-row INSERTs, one connection', spread: spreadOf(numbers(1, 'lines/s')) },
      ratio: ratioOf(numbers(0, 'lines/s'), numbers(1, 'lines/s')),
    },
  ];
}

/** Once: a fleet of a million takes its time. */
async function whole(run: BenchRun, place: Place, cluster: BenchCluster, file: string): Promise<Figure[]> {
  const lines = run.quick ? 2 * QUICK : WHOLE;
  await writeFleet(file, lines);
  const pid = cluster.processes.find(({ name }) => name === 'api')?.pid;
  if (pid === undefined) throw new Error('the API is not running');
  const memory = watchResident(pid);
  const rate = await fresh(place, () => importFile(cluster, file, lines));
  const peak = Math.max(...(await memory.stop()));
  run.say(`${lines} devices: ${Math.round(rate)}/s, at most ${Math.round(peak)} MB`);
  return [
    { measure: `${lines} devices at once`, unit: '/s', ours: spreadOf([rate]), goal: { text: '≥ 20 000 /s', met: rate >= 20_000 } },
    { measure: 'memory of the API meanwhile, at most', unit: 'MB', ours: spreadOf([peak]), goal: { text: '≤ 250 MB', met: peak <= 250 } },
  ];
}

async function writeFleet(file: string, count: number): Promise<void> {
  const lines = function* () {
    for (const device of makeFleet(count, SEED)) yield `${JSON.stringify(device)}\n`;
  };
  await pipeline(Readable.from(lines()), createWriteStream(file));
}

/** On an empty table, with nothing left to write of the measurement before. */
async function fresh<T>(place: Place, measure: () => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: place.databaseUrl });
  await client.connect();
  await client.query('TRUNCATE devices CASCADE');
  await client.query('CHECKPOINT');
  await client.end();
  return measure();
}

/** @returns lines per second */
async function importFile({ api, headers }: BenchCluster, file: string, lines: number): Promise<number> {
  const began = performance.now();
  const answer = await fetch(`${api}/scheduler/devices/import`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/x-ndjson' },
    body: Readable.toWeb(createReadStream(file)),
    duplex: 'half',
  });
  const text = await answer.text();
  const seconds = (performance.now() - began) / 1_000;
  const { data } = JSON.parse(text) as { data?: { created: number } };
  if (data?.created !== lines) throw new Error(`${lines} devices were to be created: ${answer.status} ${text.slice(0, 300)}`);
  return lines / seconds;
}
