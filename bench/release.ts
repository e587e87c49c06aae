import { setTimeout as pause } from 'node:timers/promises';
import { alternate } from './alternate.ts';
import type { BenchCluster } from './cluster.ts';
import { allocate, PER_SECOND, release as releaseOne, timeFigure, withCluster } from './http-load.ts';
import { openLoop, percentilesOf } from './open-loop.ts';
import { PREFIX } from './place.ts';
import { measureBareLatency } from './references/bare-latency.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { ratioOf, spreadOf } from './spread.ts';

type Percentile = keyof ReturnType<typeof percentilesOf>;

/** How long a caller of the API waits until a device is given back, its bill written. */
export const release: Scenario = {
  name: 'release',
  about: `POST release, ${PER_SECOND} a second whatever the answers take, every process running; bare BullMQ add → result beside it`,
  run: (run) => withCluster(run, (cluster) => compare(run, cluster)),
};

async function compare(run: BenchRun, cluster: BenchCluster): Promise<Figure[]> {
  const count = PER_SECOND * (run.quick ? 3 : 10);
  const address = { url: run.servers.redisUrl, clusterNodes: run.servers.redisClusterNodes };
  const numbers = await alternate<Percentile>(run, [
    { name: 'ours', measure: (round) => measureOurs(cluster, count, round) },
    {
      name: 'bare BullMQ',
      measure: async () => percentilesOf(await measureBareLatency(address, PREFIX, PER_SECOND, count)),
    },
  ]);
  const against = (measure: Percentile): Pick<Figure, 'reference' | 'ratio'> => ({
    reference: { name: 'bare BullMQ add → result', spread: spreadOf(numbers(1, measure)) },
    ratio: ratioOf(numbers(0, measure), numbers(1, measure)),
  });
  return [
    { measure: 'release p50', unit: 'ms', ours: spreadOf(numbers(0, 'p50')), ...against('p50') },
    { ...timeFigure('release p95', numbers(0, 'p95'), 30), ...against('p95') },
    { measure: 'release p99', unit: 'ms', ours: spreadOf(numbers(0, 'p99')), ...against('p99') },
  ];
}

async function measureOurs(cluster: BenchCluster, count: number, round: number) {
  const held: string[] = [];
  await openLoop(PER_SECOND, count, async (number) => void held.push(await allocate(cluster, `holder-${round}-${number % 100}`)));
  // What follows the grants (events, usage reports) is not to be measured with the releases.
  await pause(500);
  return percentilesOf(await openLoop(PER_SECOND, count, (number) => releaseOne(cluster, held[number])));
}
