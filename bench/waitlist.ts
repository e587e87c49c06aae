import type { SchedulerClient } from '../queues/client.ts';
import { createLogger } from '../shared/logger.ts';
import { createOutcomeListener, type OutcomeListener } from '../shared/run/completion.ts';
import { closeRedis, createRedis, whenReady } from '../shared/run/redis.ts';
import { createStore, type Store } from '../shared/store/store.ts';
import { alternate } from './alternate.ts';
import { startBenchCluster } from './cluster.ts';
import { assertUnbroken } from './complete.ts';
import { fillWaiting, REPLY_TO, readLine, type Waiter } from './fill-waiting.ts';
import { openClient } from './open-client.ts';
import { percentilesOf } from './open-loop.ts';
import { openPlace, PREFIX } from './place.ts';
import type { BenchRun, BenchServers, Figure, Scenario } from './scenario.ts';
import { ratioOf, spreadOf } from './spread.ts';

const MANY = 50_000;
const FEW = 500;
const DEVICES = 1_000;
const FREED = 200;
const QUICK = { many: 2_000, few: 200, devices: 200, freed: 20 };
const GOAL_MS = 50;
/** What "independent of the number waiting" may cost of noise. */
const MOST_RATIO = 1.5;
const GRANTED_WITHIN_MS = 10_000;
const HELD_WITHIN_MS = 60_000;

type Percentile = keyof ReturnType<typeof percentilesOf>;

/** How soon a device that is given back is with the one whose turn it is. */
export const waitlist: Scenario = {
  name: 'waitlist',
  about: `a device is released while ${MANY} wait: from the answer to the grant, which is the one the policy names; ${FEW} waiting beside it`,
  run: async (run) => {
    const { many, few, devices, freed } = run.quick ? QUICK : { many: MANY, few: FEW, devices: DEVICES, freed: FREED };
    const bench = await openWaitlist(run, devices);
    try {
      run.say('running the code in');
      await bench.free(few, freed);
      const numbers = await alternate<Percentile>(run, [
        { name: `${many} waiting`, measure: () => bench.free(many, freed) },
        { name: `${few} waiting`, measure: () => bench.free(few, freed) },
      ]);
      await bench.check();
      return figuresOf(numbers, many, few);
    } finally {
      await bench.close();
    }
  },
};

function figuresOf(numbers: (side: number, number: Percentile) => number[], many: number, few: number): Figure[] {
  return (['p50', 'p95', 'p99'] as const).map((percentile) => {
    const [ours, reference] = [numbers(0, percentile), numbers(1, percentile)];
    const [spread, ratio] = [spreadOf(ours), ratioOf(ours, reference)];
    const goals: Partial<Record<Percentile, Figure['goal']>> = {
      p50: { text: `≤ ${MOST_RATIO} ×`, met: ratio.median <= MOST_RATIO },
      p95: { text: `≤ ${GOAL_MS} ms`, met: spread.median <= GOAL_MS },
    };
    const goal = goals[percentile];
    return {
      measure: `release to grant, ${percentile} with ${many} waiting`,
      unit: 'ms',
      ours: spread,
      reference: { name: `${few} waiting`, spread: spreadOf(reference) },
      ratio,
      ...(goal === undefined ? {} : { goal }),
    };
  });
}

/** Every process on a fleet that is held from the first device to the last. */
interface WaitlistBench {
  /** Has so many wait, and frees devices one by one. @returns ms from each release's answer to the announcement of its grant */
  free(waiting: number, releases: number): Promise<ReturnType<typeof percentilesOf>>;
  /** @throws Error when an invariant is broken */
  check(): Promise<void>;
  close(): Promise<void>;
}

async function openWaitlist(run: BenchRun, devices: number): Promise<WaitlistBench> {
  const place = await openPlace(run.servers, run.say);
  await place.renew(devices);
  const cluster = await startBenchCluster(run.servers, place);
  const times = { acquireTimeoutMs: 10_000, statementTimeoutMs: 60_000 };
  const store = createStore({ databaseUrl: place.databaseUrl, poolSize: 1, ...times, applicationName: 'bench' });
  const client = openClient(run.servers);
  await holdAll(client, devices);
  const ear = await listen(run.servers);
  return {
    free: async (waiting, releases) => {
      await fillWaiting(place.databaseUrl, waiting);
      return percentilesOf(await freeOneByOne(store, client, ear.listener, releases));
    },
    check: () => assertUnbroken(store),
    close: async () => {
      ear.close();
      await client.close();
      await store.close();
      await cluster.close();
      await place.close();
    },
  };
}

async function holdAll(client: SchedulerClient, devices: number): Promise<void> {
  const requests = Array.from({ length: devices }, (_, number) => ({ userId: `holder-${number}` }));
  const answers = await client.allocateMany(requests, { timeoutMs: HELD_WITHIN_MS });
  const without = answers.find(({ status }) => status !== 'granted');
  if (without !== undefined) throw new Error(`a request was answered ${JSON.stringify(without)}`);
}

async function listen({ redisUrl, redisClusterNodes }: BenchServers): Promise<{ listener: OutcomeListener; close(): void }> {
  const logger = createLogger('bench', 'warn');
  const redis = createRedis('subscriber', { url: redisUrl, clusterNodes: redisClusterNodes }, logger);
  await whenReady(redis, GRANTED_WITHIN_MS);
  const listener = await createOutcomeListener(redis, PREFIX, REPLY_TO, logger);
  const close = () => {
    listener.close();
    closeRedis(redis);
  };
  return { listener, close };
}

interface Held {
  readonly allocationId: string;
  readonly deviceId: string;
  readonly type: string;
  readonly cpuCores: number;
}

async function freeOneByOne(store: Store, client: SchedulerClient, listener: OutcomeListener, releases: number): Promise<number[]> {
  const line = await readLine(store);
  const times: number[] = [];
  for (const held of await readHeld(store, releases)) {
    const next = line.findIndex((waiter) => suits(held, waiter));
    const [first] = next < 0 ? [] : line.splice(next, 1);
    if (first === undefined) throw new Error('nobody waits for the device');
    times.push(await freeOne(client, listener, held, first));
  }
  return times;
}

/** Live allocations, from all over the fleet. */
function readHeld(store: Store, count: number): Promise<Held[]> {
  return store.prisma.$queryRaw<Held[]>`
    SELECT a.id AS "allocationId", d.id AS "deviceId", d.type, d.cpu_cores AS "cpuCores" FROM allocations a JOIN devices d ON d.allocation_id = a.id
    WHERE a.status = 'allocated' ORDER BY md5(a.id::text) LIMIT ${count}`;
}

const suits = ({ type, cpuCores }: Held, { deviceType, minCpu }: Waiter) => (deviceType ?? type) === type && (minCpu ?? 0) <= cpuCores;

/** @returns ms from the release's answer to the grant. @throws Error when the device goes to somebody else, or to nobody */
async function freeOne(client: SchedulerClient, listener: OutcomeListener, held: Held, first: Waiter): Promise<number> {
  const granted = listener.wait(first.id, GRANTED_WITHIN_MS).then((outcome) => ({ outcome, at: performance.now() }));
  const { status } = await client.release({ allocationId: held.allocationId }, { timeoutMs: GRANTED_WITHIN_MS });
  const answered = performance.now();
  if (status !== 'released') throw new Error(`a release was answered ${status}`);
  const { outcome, at } = await granted;
  if (!isGrantOf(outcome, held.deviceId)) {
    throw new Error(`${held.deviceId} was not given to ${first.id}, whose turn it is, but that was told ${JSON.stringify(outcome)}`);
  }
  return at - answered;
}

function isGrantOf(outcome: unknown, deviceId: string): boolean {
  const granted = outcome as { readonly status?: unknown; readonly allocation?: { readonly deviceId?: unknown } } | undefined;
  return granted?.status === 'granted' && granted.allocation?.deviceId === deviceId;
}
