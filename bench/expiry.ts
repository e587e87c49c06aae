import pg from 'pg';
import { createLogger } from '../shared/logger.ts';
import { createMetrics } from '../shared/metrics.ts';
import { createStore } from '../shared/store/store.ts';
import { expire } from '../workers/maintenance/expire.ts';
import { openPlace } from './place.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { spreadOf } from './spread.ts';

const DUE = 100_000;
const QUICK_DUE = 5_000;

/** `expiry`: allocations that are all due in the same second, ended with ledger, events and usage reports. */
export const expiry: Scenario = {
  name: 'expiry',
  about: `${DUE} allocations due in the same second, ended by one run of the scheduled job`,
  run: async (run: BenchRun): Promise<Figure[]> => {
    const { rounds, quick, servers, say } = run;
    const due = quick ? QUICK_DUE : DUE;
    const place = await openPlace(servers, say);
    const rates: number[] = [];
    const late: number[] = [];
    try {
      for (let round = quick ? 1 : 0; round <= rounds; round += 1) {
        await place.renew(due);
        const seconds = await endAll(place.databaseUrl, due);
        say(`${round === 0 ? 'warm-up' : `round ${round}/${rounds}`}  ${due} ended in ${seconds.toFixed(1)} s`);
        if (round > 0) {
          rates.push(due / seconds);
          late.push(seconds);
        }
      }
    } finally {
      await place.close();
    }
    const [rate, last] = [spreadOf(rates), spreadOf(late)];
    return [
      { measure: 'ended', unit: '/s', ours: rate, goal: { text: '≥ 10000/s', met: rate.median >= 10_000 } },
      { measure: 'the last one, late by', unit: 's', ours: last, goal: { text: '≤ 15 s', met: last.median <= 15 } },
    ];
  },
};

/** @returns how long it took, s */
async function endAll(databaseUrl: string, due: number): Promise<number> {
  await fill(databaseUrl, due);
  const timeouts = { acquireTimeoutMs: 10_000, statementTimeoutMs: 60_000 };
  const store = createStore({ databaseUrl, poolSize: 4, applicationName: 'bench', ...timeouts });
  try {
    const quiet = { metrics: createMetrics('bench'), logger: createLogger('bench', 'silent') };
    const nobody = { announce: async () => undefined, announceCleaned: async () => undefined };
    const began = performance.now();
    const { expired } = await expire(
      { store, ending: { cleaningSeconds: 0 }, heartbeatGraceSeconds: 10, ...quiet, ...nobody },
      new AbortController().signal,
    );
    if (expired !== due) throw new Error(`${expired} of ${due} were ended`);
    return (performance.now() - began) / 1_000;
  } finally {
    await store.close();
  }
}

/** An allocation on every device, all of the same second, and all due now. */
async function fill(databaseUrl: string, due: number): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(
    `INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tier, fence, strategy, duration_minutes, cpu_cores, memory_mb, storage_mb,
       allocated_at, expires_at)
     SELECT gen_random_uuid(), gen_random_uuid(), id, name, 'user-' || row_number() OVER () % 5000, 'standard', 1, 'resource_based', 60, cpu_cores, memory_mb,
       storage_mb, date_trunc('second', now()) - interval '1 hour', date_trunc('second', now()) FROM devices LIMIT $1`,
    [due],
  );
  await client.query('UPDATE devices d SET allocation_id = a.id, fence = 1 FROM allocations a WHERE a.device_id = d.id');
  await client.query('VACUUM ANALYZE allocations, devices');
  await client.end();
}
