import { createStore } from '../shared/store/store.ts';
import { alternate } from './alternate.ts';
import { openBacklog } from './backlog.ts';
import { startBenchCluster } from './cluster.ts';
import { assertComplete } from './complete.ts';
import { openPlace, type Place } from './place.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { ratioOf, spreadOf } from './spread.ts';

const PROCESSES = [1, 2, 4] as const;
/** So few that each is granted many: what is measured are decisions, not first looks at quotas. */
const USERS = 500;

/** The same backlog before one, two and four worker processes. */
export const scaleOut: Scenario = {
  name: 'scale-out',
  about: 'decisions per second of 1, 2 and 4 worker processes with the same backlog; nothing granted twice',
  run: async (run) => {
    const place = await openPlace(run.servers, run.say);
    try {
      const numbers = await alternate<'jobs/s'>(
        run,
        PROCESSES.map((processes) => ({
          name: `${processes} of them`,
          measure: async () => ({ 'jobs/s': await drainWith(run, place, processes) }),
        })),
      );
      return PROCESSES.map((processes, side) => figureOf(processes, numbers(side, 'jobs/s'), numbers(0, 'jobs/s')));
    } finally {
      await place.close();
    }
  },
};

function figureOf(processes: number, ours: readonly number[], alone: readonly number[]): Figure {
  const figure = { measure: `worker processes: ${processes}`, unit: '/s', ours: spreadOf(ours) };
  if (processes === 1) return figure;
  const ratio = ratioOf(ours, alone);
  return { ...figure, reference: { name: 'one process', spread: spreadOf(alone) }, ratio, goal: { text: '≥ 1 ×', met: ratio.median >= 1 } };
}

/** @returns decisions per second. @throws Error when a device was granted twice or a request was lost */
async function drainWith(run: BenchRun, place: Place, processes: number): Promise<number> {
  const jobs = run.quick ? 2_000 : 20_000;
  await place.renew(run.quick ? 5_000 : 200_000);
  const backlog = await openBacklog(run.servers, USERS);
  await backlog.fill(jobs);
  const cluster = await startBenchCluster(run.servers, place, { allocation: processes });
  const options = { poolSize: 1, acquireTimeoutMs: 10_000, statementTimeoutMs: 10_000, applicationName: 'bench' };
  const store = createStore({ databaseUrl: place.databaseUrl, ...options });
  try {
    const began = performance.now();
    await backlog.release();
    await backlog.drained();
    const seconds = (performance.now() - began) / 1_000;
    await assertComplete(store, jobs);
    return jobs / seconds;
  } finally {
    await store.close();
    await backlog.close();
    await cluster.close();
  }
}
