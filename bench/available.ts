import autocannon from 'autocannon';
import { Redis } from 'ioredis';
import { alternate } from './alternate.ts';
import { type BenchCluster, startBenchCluster } from './cluster.ts';
import { openLoop } from './open-loop.ts';
import { openPlace, PREFIX } from './place.ts';
import { startRawRead } from './references/start-raw-read.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { ratioOf, spreadOf } from './spread.ts';

const PATH = '/scheduler/devices/available';
const CONNECTIONS = 50;
const ALLOCATIONS_PER_SECOND = 200;
const READS_PER_SECOND = 1_000;
const WAIT_MS = 20_000;

/** The list of available devices: how fast it is read, and how often it comes from the cache while the fleet changes. */
export const available: Scenario = {
  name: 'available',
  about: 'GET available from the cache, raw Fastify + Redis GET beside it; hit rate while devices are allocated',
  run: async (run) => {
    const place = await openPlace(run.servers, run.say);
    try {
      await place.renew(run.quick ? 5_000 : 200_000);
      const cluster = await startBenchCluster(run.servers, place);
      try {
        return [...(await compareReads(run, cluster)), ...(await hitRate(run, cluster))];
      } finally {
        await cluster.close();
      }
    } finally {
      await place.close();
    }
  },
};

async function compareReads(run: BenchRun, cluster: BenchCluster): Promise<Figure[]> {
  const seconds = run.quick ? 2 : 5;
  const key = `${PREFIX}:raw-read`;
  const { data } = (await cluster.http.get(PATH)).body;
  const redis = new Redis(run.servers.redisUrl);
  await redis.set(key, JSON.stringify({ success: true, data, requestId: 'the same length as', timestamp: new Date().toISOString() }));
  const raw = await startRawRead(run.servers.redisUrl, key);
  try {
    const numbers = await alternate<'reads/s' | 'p99 ms'>(run, [
      { name: 'ours', measure: () => readFor(`${cluster.api}${PATH}`, cluster.headers, seconds) },
      { name: 'raw', measure: () => readFor(raw.url, {}, seconds) },
    ]);
    const ratio = ratioOf(numbers(0, 'reads/s'), numbers(1, 'reads/s'));
    const reference = 'raw Fastify + Redis GET';
    return [
      {
        measure: 'reads',
        unit: '/s',
        ours: spreadOf(numbers(0, 'reads/s')),
        reference: { name: reference, spread: spreadOf(numbers(1, 'reads/s')) },
        ratio,
        goal: { text: '≥ 0.7 ×', met: ratio.median >= 0.7 },
      },
      {
        measure: 'read p99',
        unit: 'ms',
        ours: spreadOf(numbers(0, 'p99 ms')),
        reference: { name: reference, spread: spreadOf(numbers(1, 'p99 ms')) },
        ratio: ratioOf(numbers(0, 'p99 ms'), numbers(1, 'p99 ms')),
      },
    ];
  } finally {
    await raw.close();
    redis.disconnect();
  }
}

async function readFor(url: string, headers: Readonly<Record<string, string>>, seconds: number) {
  const result = await autocannon({ url, headers: { ...headers }, connections: CONNECTIONS, duration: seconds });
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${url}: ${result.non2xx} refused, ${result.errors} failed`);
  return { 'reads/s': result.requests.average, 'p99 ms': result.latency.p99 };
}

/** Reads and allocations at their own steady rates. */
async function hitRate(run: BenchRun, { http }: BenchCluster): Promise<Figure[]> {
  const seconds = run.quick ? 3 : 10;
  const shares: number[] = [];
  const misses: number[] = [];
  for (let round = 1; round <= run.rounds; round += 1) {
    let hits = 0;
    const reads = READS_PER_SECOND * seconds;
    await Promise.all([
      openLoop(ALLOCATIONS_PER_SECOND, ALLOCATIONS_PER_SECOND * seconds, async (number) => {
        const { status, body } = await http.post('/scheduler/devices/allocate', { userId: `user-${number % 5_000}`, waitMs: WAIT_MS });
        if (status !== 201) throw new Error(`a request was answered ${status} ${body.code ?? ''}`);
      }),
      openLoop(READS_PER_SECOND, reads, async () => {
        const { headers } = await http.get(PATH);
        if (headers['x-cache'] === 'HIT') hits += 1;
      }),
    ]);
    shares.push((100 * hits) / reads);
    misses.push((reads - hits) / seconds);
    run.say(`round ${round}/${run.rounds}  ${((100 * hits) / reads).toFixed(1)} % of ${reads} reads from the cache`);
  }
  const ours = spreadOf(shares);
  return [
    {
      measure: `hit rate at ${ALLOCATIONS_PER_SECOND} allocations/s, ${READS_PER_SECOND} reads/s`,
      unit: '%',
      ours,
      goal: { text: '≥ 95 %', met: ours.median >= 95 },
    },
    { measure: 'lists loaded meanwhile', unit: '/s', ours: spreadOf(misses) },
  ];
}
