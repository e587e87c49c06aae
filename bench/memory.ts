import { setTimeout as pause } from 'node:timers/promises';
import { Cluster } from 'ioredis';
import { QUEUES } from '../queues/names.ts';
import { openBacklog } from './backlog.ts';
import { type BenchCluster, startBenchCluster } from './cluster.ts';
import { connectRedis } from './connect-redis.ts';
import { openLoop } from './open-loop.ts';
import { openPlace, PREFIX } from './place.ts';
import { watchResident } from './resident.ts';
import type { BenchServers, Figure, Scenario } from './scenario.ts';
import { quantile, spreadOf } from './spread.ts';

const USERS = 5_000;
const PER_SECOND = 100;
const WAIT_MS = 20_000;
const SAMPLED = 1_000;
const KB = 1_024;
const MOST_MB = 200;
/** The last third of a time against the first: what grows by less is taken for flat. */
const FLAT = 1.1;

/** What a backlog and a steady load take of memory; once each, since memory is a matter of time and not of rounds. */
export const memory: Scenario = {
  name: 'memory',
  about: 'Redis for each of 100 000 waiting jobs, a worker in front of them, the API under a steady 100 requests/s',
  run: async (run) => {
    const place = await openPlace(run.servers, run.say);
    try {
      await place.renew(run.quick ? 5_000 : 200_000);
      const jobs = run.quick ? 2_000 : 100_000;
      const backlog = await openBacklog(run.servers, USERS);
      await backlog.fill(jobs);
      const perJob = await redisPerJob(run.servers, jobs);
      run.say(`${jobs} jobs wait, ${Math.round(perJob)} bytes each`);
      const cluster = await startBenchCluster(run.servers, place);
      try {
        const worker = await watch(cluster, 'allocation', async () => {
          await pause(run.quick ? 1_000 : 10_000);
          await backlog.release();
          await backlog.drained();
        });
        run.say('all decided');
        const seconds = run.quick ? 5 : 120;
        const api = await watch(cluster, 'api', () => ask(cluster, seconds));
        const redis = spreadOf([perJob / KB]);
        return [
          { measure: 'Redis a waiting job', unit: 'KB', ours: redis, goal: { text: '≤ 1.2 KB', met: redis.median <= 1.2 } },
          ...figuresOf(`worker, ${jobs} jobs waiting and then decided`, worker, false),
          ...figuresOf(`API, ${PER_SECOND} requests/s for ${seconds} s`, api, true),
        ];
      } finally {
        await backlog.close();
        await cluster.close();
      }
    } finally {
      await place.close();
    }
  },
};

/** Under a load that stays the same, memory has to stay the same. */
function figuresOf(what: string, seen: readonly number[], steady: boolean): Figure[] {
  const most = Math.max(...seen);
  const figure = {
    measure: what,
    unit: 'MB',
    ours: spreadOf(seen),
    goal: { text: `most ≤ ${MOST_MB} MB`, met: most <= MOST_MB },
  };
  if (!steady) return [figure];
  const third = Math.ceil(seen.length / 3);
  const growth = medianOf(seen.slice(-third)) / medianOf(seen.slice(0, third));
  return [
    figure,
    { measure: `${what}: last third to first`, unit: '×', ours: spreadOf([growth]), goal: { text: `≤ ${FLAT} ×`, met: growth <= FLAT } },
  ];
}

const medianOf = (values: readonly number[]) =>
  quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );

/** @returns MB of a process, looked at while something is done */
async function watch({ processes }: BenchCluster, name: string, work: () => Promise<void>): Promise<readonly number[]> {
  const pid = processes.find((process) => process.name === name)?.pid;
  if (pid === undefined) throw new Error(`${name} is not running`);
  const watching = watchResident(pid);
  try {
    await work();
  } finally {
    await watching.stop();
  }
  return watching.stop();
}

async function ask({ http }: BenchCluster, seconds: number): Promise<void> {
  await openLoop(PER_SECOND, PER_SECOND * seconds, async (number) => {
    const { status, body } = await http.post('/scheduler/devices/allocate', { userId: `asker-${number % USERS}`, waitMs: WAIT_MS });
    if (status !== 201) throw new Error(`a request was answered ${status} ${body.code ?? ''}`);
  });
}

/** Bytes of every key of ours, shared by the jobs; of the jobs themselves a thousand are looked at. */
async function redisPerJob({ redisUrl, redisClusterNodes }: BenchServers, jobs: number): Promise<number> {
  const redis = connectRedis({ url: redisUrl, clusterNodes: redisClusterNodes });
  const job = new RegExp(`:${QUEUES.allocate}:[0-9a-f]{8}-[0-9a-f-]{27}$`);
  let [sampled, ofSampled, ofOthers] = [0, 0, 0];
  for (const node of redis instanceof Cluster ? redis.nodes('master') : [redis]) {
    for await (const keys of node.scanStream({ match: `${PREFIX}*`, count: 5_000 })) {
      for (const key of keys as string[]) {
        const isJob = job.test(key);
        if (isJob && sampled >= SAMPLED) continue;
        const bytes = (await node.memory('USAGE', key, 'SAMPLES', 0)) ?? 0;
        if (isJob) [sampled, ofSampled] = [sampled + 1, ofSampled + bytes];
        else ofOthers += bytes;
      }
    }
  }
  redis.disconnect();
  if (sampled === 0) throw new Error('no job waits');
  return ofSampled / sampled + ofOthers / jobs;
}
