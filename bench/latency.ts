import { setTimeout as pause } from 'node:timers/promises';
import { alternate } from './alternate.ts';
import { type BenchCluster, startBenchCluster } from './cluster.ts';
import { openLoop, percentilesOf } from './open-loop.ts';
import { openPlace, PREFIX } from './place.ts';
import { measureBareLatency } from './references/bare-latency.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { ratioOf, spreadOf } from './spread.ts';

const PER_SECOND = 100;
/** Users of a round whose quota and balance have been asked for shortly before, as those of most requests have. */
const KNOWN_USERS = 100;
const WAIT_MS = 20_000;
/** Running in: so many callers take a device and give it back so often. */
const CALLERS = 16;
const TURNS = 150;

type Percentile = keyof ReturnType<typeof percentilesOf>;

/** How long a caller of the API waits for a device, and for giving it back. */
export const latency: Scenario = {
  name: 'latency',
  about: `POST allocate and release, ${PER_SECOND} a second whatever the answers take, every process running; bare BullMQ add → result beside it. New users: quota and balance are asked over HTTP on the way`,
  run: async (run) => {
    const place = await openPlace(run.servers, run.say);
    try {
      await place.renew(run.quick ? 5_000 : 200_000);
      const cluster = await startBenchCluster(run.servers, place);
      try {
        run.say('running the code in');
        await runIn(cluster);
        return await compare(run, cluster);
      } finally {
        await cluster.close();
      }
    } finally {
      await place.close();
    }
  },
};

async function compare(run: BenchRun, cluster: BenchCluster): Promise<Figure[]> {
  const count = PER_SECOND * (run.quick ? 3 : 10);
  const address = { url: run.servers.redisUrl, clusterNodes: run.servers.redisClusterNodes };
  const numbers = await alternate<Percentile | `release ${Percentile}` | 'new user p50' | 'new user p95'>(run, [
    { name: 'ours', measure: (round) => measureOurs(cluster, count, round) },
    {
      name: 'bare BullMQ',
      measure: async () => percentilesOf(await measureBareLatency(address, PREFIX, PER_SECOND, count)),
    },
  ]);
  const against = (measure: Percentile, goal: number): Figure => ({
    ...figure(`allocate ${measure}`, numbers(0, measure), goal),
    reference: { name: 'bare BullMQ add → result', spread: spreadOf(numbers(1, measure)) },
    ratio: ratioOf(numbers(0, measure), numbers(1, measure)),
  });
  return [
    against('p50', 15),
    against('p95', 40),
    against('p99', 100),
    toReference(numbers(0, 'p50'), numbers(1, 'p50')),
    { measure: 'allocate, new user, p50', unit: 'ms', ours: spreadOf(numbers(0, 'new user p50')) },
    { measure: 'allocate, new user, p95', unit: 'ms', ours: spreadOf(numbers(0, 'new user p95')) },
    { measure: 'release p50', unit: 'ms', ours: spreadOf(numbers(0, 'release p50')) },
    figure('release p95', numbers(0, 'release p95'), 30),
    { measure: 'release p99', unit: 'ms', ours: spreadOf(numbers(0, 'release p99')) },
  ];
}

/** A process in service has compiled what it does a hundred times a second: fresh ones are given some thousand requests. */
async function runIn({ http }: BenchCluster): Promise<void> {
  const caller = async (_: unknown, number: number) => {
    for (let turn = 0; turn < TURNS; turn += 1) {
      const { body } = await http.post('/scheduler/devices/allocate', { userId: `first-${number}`, waitMs: WAIT_MS });
      await http.post('/scheduler/devices/release', { allocationId: body.data?.['allocationId'] });
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

function figure(measure: string, values: readonly number[], goal: number): Figure {
  const ours = spreadOf(values);
  return { measure, unit: 'ms', ours, goal: { text: `≤ ${goal} ms`, met: ours.median <= goal } };
}

/** The goal for the whole way over HTTP and through the database, beside a queue that does nothing. */
function toReference(ours: readonly number[], bare: readonly number[]): Figure {
  const ratio = ratioOf(ours, bare);
  return { measure: 'allocate p50 to bare', unit: '×', ours: ratio, goal: { text: '≤ 3 ×', met: ratio.median <= 3 } };
}

async function measureOurs({ http }: BenchCluster, count: number, round: number) {
  const held: string[] = [];
  const allocate = async (userId: string) => {
    const { status, body } = await http.post('/scheduler/devices/allocate', { userId, waitMs: WAIT_MS });
    if (status !== 201) throw new Error(`a request was answered ${status} ${body.code ?? ''}`);
    held.push(String(body.data?.['allocationId']));
  };
  const known = (number: number) => allocate(`known-${round}-${number % KNOWN_USERS}`);
  await openLoop(PER_SECOND, KNOWN_USERS, known);
  const allocated = percentilesOf(await openLoop(PER_SECOND, count, known));
  const strange = percentilesOf(await openLoop(PER_SECOND, count / 2, (number) => allocate(`new-${round}-${number}`)));
  // What follows the grants (events, usage reports) is not to be measured with the releases.
  await pause(500);
  const released = await openLoop(PER_SECOND, count, async (number) => {
    const { status, body } = await http.post('/scheduler/devices/release', { allocationId: held[number] });
    if (status !== 200) throw new Error(`a release was answered ${status} ${body.code ?? ''}`);
  });
  const release = percentilesOf(released);
  return {
    ...allocated,
    'new user p50': strange.p50,
    'new user p95': strange.p95,
    'release p50': release.p50,
    'release p95': release.p95,
    'release p99': release.p99,
  };
}
