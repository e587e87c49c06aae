import { alternate } from './alternate.ts';
import type { BenchCluster } from './cluster.ts';
import { allocate, PER_SECOND, timeFigure, withCluster } from './http-load.ts';
import { openLoop, percentilesOf } from './open-loop.ts';
import { PREFIX } from './place.ts';
import { measureBareLatency } from './references/bare-latency.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { ratioOf, spreadOf } from './spread.ts';

/** Users of a round whose quota and balance have been asked for shortly before, as those of most requests have. */
const KNOWN_USERS = 100;

type Percentile = keyof ReturnType<typeof percentilesOf>;

/** How long a caller of the API waits for a device. */
export const latency: Scenario = {
  name: 'latency',
  about: `POST allocate, ${PER_SECOND} a second whatever the answers take, every process running; bare BullMQ add → result beside it. New users: quota and balance are asked over HTTP on the way`,
  run: (run) => withCluster(run, (cluster) => compare(run, cluster)),
};

async function compare(run: BenchRun, cluster: BenchCluster): Promise<Figure[]> {
  const count = PER_SECOND * (run.quick ? 3 : 10);
  const address = { url: run.servers.redisUrl, clusterNodes: run.servers.redisClusterNodes };
  const numbers = await alternate<Percentile | `new user ${Percentile}`>(run, [
    { name: 'ours', measure: (round) => measureOurs(cluster, count, round) },
    {
      name: 'bare BullMQ',
      measure: async () => percentilesOf(await measureBareLatency(address, PREFIX, PER_SECOND, count)),
    },
  ]);
  const against = (measure: Percentile, goal: number): Figure => ({
    ...timeFigure(`allocate ${measure}`, numbers(0, measure), goal),
    reference: { name: 'bare BullMQ add → result', spread: spreadOf(numbers(1, measure)) },
    ratio: ratioOf(numbers(0, measure), numbers(1, measure)),
  });
  const ofNewUsers = (measure: Percentile): Figure => ({
    measure: `allocate ${measure}, new users`,
    unit: 'ms',
    ours: spreadOf(numbers(0, `new user ${measure}`)),
  });
  return [
    against('p50', 15),
    against('p95', 40),
    against('p99', 100),
    toReference(numbers(0, 'p50'), numbers(1, 'p50')),
    ofNewUsers('p50'),
    ofNewUsers('p95'),
    ofNewUsers('p99'),
  ];
}

/** The goal for the whole way over HTTP and through the database, beside a queue that does nothing. */
function toReference(ours: readonly number[], bare: readonly number[]): Figure {
  const ratio = ratioOf(ours, bare);
  return { measure: 'allocate p50 to bare', unit: '×', ours: ratio, goal: { text: '≤ 3 ×', met: ratio.median <= 3 } };
}

async function measureOurs(cluster: BenchCluster, count: number, round: number) {
  const known = async (number: number) => void (await allocate(cluster, `known-${round}-${number % KNOWN_USERS}`));
  const unknown = async (number: number) => void (await allocate(cluster, `new-${round}-${number}`));
  await openLoop(PER_SECOND, KNOWN_USERS, known);
  const allocated = percentilesOf(await openLoop(PER_SECOND, count, known));
  const strange = percentilesOf(await openLoop(PER_SECOND, count / 2, unknown));
  return { ...allocated, 'new user p50': strange.p50, 'new user p95': strange.p95, 'new user p99': strange.p99 };
}
