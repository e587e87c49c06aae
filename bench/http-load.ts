import { type BenchCluster, startBenchCluster } from './cluster.ts';
import { openPlace } from './place.ts';
import type { BenchRun, Figure } from './scenario.ts';
import { spreadOf } from './spread.ts';

/** Steady load of the scenarios that measure times, requests a second. */
export const PER_SECOND = 100;
const DEVICES = 200_000;
const WAIT_MS = 20_000;
/** Running in: so many callers take a device and give it back so often. */
const CALLERS = 16;
const TURNS = 150;

/** Runs a scenario against every process of the product on a fleet of 200 000 devices, and clears up. */
export async function withCluster(run: BenchRun, work: (cluster: BenchCluster) => Promise<Figure[]>): Promise<Figure[]> {
  const place = await openPlace(run.servers, run.say);
  try {
    await place.renew(run.quick ? 5_000 : DEVICES);
    const cluster = await startBenchCluster(run.servers, place);
    try {
      run.say('running the code in');
      await runIn(cluster, run.quick ? 2 : TURNS);
      return await work(cluster);
    } finally {
      await cluster.close();
    }
  } finally {
    await place.close();
  }
}

/** A process in service has compiled what it does a hundred times a second: fresh ones are given some thousand requests. */
async function runIn(cluster: BenchCluster, turns: number): Promise<void> {
  const caller = async (_: unknown, number: number) => {
    for (let turn = 0; turn < turns; turn += 1) await release(cluster, await allocate(cluster, `first-${number}`));
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

/** @returns the id of the allocation; throws when none was granted */
export async function allocate({ http }: BenchCluster, userId: string): Promise<string> {
  const { status, body } = await http.post('/scheduler/devices/allocate', { userId, waitMs: WAIT_MS });
  if (status !== 201) throw new Error(`a request was answered ${status} ${body.code ?? ''}`);
  return String(body.data?.['allocationId']);
}

/** Throws when the allocation could not be released. */
export async function release({ http }: BenchCluster, allocationId: string | undefined): Promise<void> {
  const { status, body } = await http.post('/scheduler/devices/release', { allocationId });
  if (status !== 200) throw new Error(`a release was answered ${status} ${body.code ?? ''}`);
}

/** A time with its goal, ms. */
export function timeFigure(measure: string, values: readonly number[], goal: number): Figure {
  const ours = spreadOf(values);
  return { measure, unit: 'ms', ours, goal: { text: `≤ ${goal} ms`, met: ours.median <= goal } };
}
