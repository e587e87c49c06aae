import { randomUUID } from 'node:crypto';
import type { SchedulerClient } from '../queues/client.ts';
import { TIER_PRIORITY, type Tier } from '../shared/allocation/tier.ts';
import { createStore } from '../shared/store/store.ts';
import { type Backlog, openBacklog } from './backlog.ts';
import { startBenchCluster } from './cluster.ts';
import { assertComplete } from './complete.ts';
import { openClient } from './open-client.ts';
import { percentilesOf } from './open-loop.ts';
import { openPlace, type Place } from './place.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { ratioOf, spreadOf } from './spread.ts';
import { outOfOrder, watchOrder } from './watch-order.ts';

const FLOOD = 50_000;
const USERS = 500;
const ASKED = 10;
/** How often somebody asks for ten: each time another tenant, so each is new to the order. */
const TURNS = 15;
const QUICK = { flood: 6_000, turns: 2 };
const RUN_IN = 2_000;
const MOST_RATIO = 2;
const WAIT_MS = 60_000;
/** What a tenant asks at once: served by tier, and as they came within one. */
const MIXED: readonly Tier[] = ['free', 'vip', 'enterprise', 'standard', 'premium', 'enterprise', 'vip', 'free', 'premium', 'standard'];

type Waits = ReturnType<typeof percentilesOf>;

interface Round {
  readonly alone: Waits;
  readonly flooded: Waits;
  /** Requests seen being taken whose order is known, and how many of them were taken out of it. */
  readonly looked: number;
  readonly wrong: number;
}

/** What one tenant's flood does to everybody else, and the order inside a tenant. */
export const fairness: Scenario = {
  name: 'fairness',
  about: `one tenant floods ${FLOOD}, others ask for ${ASKED} meanwhile: their wait, and beside it the same without the flood`,
  run: async (run) => {
    const place = await openPlace(run.servers, run.say);
    try {
      const rounds: Round[] = [];
      for (let number = 1; number <= run.rounds; number += 1) {
        const round = await measure(run, place);
        run.say(`round ${number}/${run.rounds}  ${JSON.stringify(round)}`);
        rounds.push(round);
      }
      return figuresOf(rounds);
    } finally {
      await place.close();
    }
  },
};

function figuresOf(rounds: readonly Round[]): Figure[] {
  const waits = (['p50', 'p95'] as const).map((percentile): Figure => {
    const [ours, alone] = [rounds.map(({ flooded }) => flooded[percentile]), rounds.map((round) => round.alone[percentile])];
    const ratio = ratioOf(ours, alone);
    const figure = {
      measure: `wait behind a flood, ${percentile}`,
      unit: 'ms',
      ours: spreadOf(ours),
      reference: { name: 'alone', spread: spreadOf(alone) },
      ratio,
    };
    return percentile === 'p50' ? figure : { ...figure, goal: { text: `≤ ${MOST_RATIO} ×`, met: ratio.median <= MOST_RATIO } };
  });
  const wrong = spreadOf(rounds.map((round) => round.wrong));
  return [
    ...waits,
    { measure: 'taken out of order inside a tenant', unit: '', ours: wrong, goal: { text: '= 0', met: wrong.max === 0 } },
    { measure: 'of requests whose order was seen', unit: '', ours: spreadOf(rounds.map(({ looked }) => looked)) },
  ];
}

async function measure(run: BenchRun, place: Place): Promise<Round> {
  const { flood, turns } = run.quick ? QUICK : { flood: FLOOD, turns: TURNS };
  const asked = 2 * turns * (ASKED + MIXED.length);
  await place.renew(2 * (flood + RUN_IN + asked));
  const backlog = await openBacklog(run.servers, USERS, 1);
  const cluster = await startBenchCluster(run.servers, place);
  const times = { acquireTimeoutMs: 10_000, statementTimeoutMs: 60_000 };
  const store = createStore({ databaseUrl: place.databaseUrl, poolSize: 1, ...times, applicationName: 'bench' });
  const client = openClient(run.servers);
  try {
    await drain(backlog, RUN_IN);
    const round = await compare(run, backlog, client, flood, turns);
    await assertComplete(store, RUN_IN + flood + asked);
    return round;
  } finally {
    await client.close();
    await store.close();
    await backlog.close();
    await cluster.close();
  }
}

async function drain(backlog: Backlog, jobs: number): Promise<void> {
  await backlog.fill(jobs);
  await backlog.release();
  await backlog.drained();
}

async function compare(run: BenchRun, backlog: Backlog, client: SchedulerClient, flood: number, turns: number): Promise<Round> {
  const alone = await askInTurns(client, 'alone', turns);
  const floodIds = await backlog.fill(flood);
  const watch = await watchOrder(run.servers);
  await backlog.release();
  const flooded = await askInTurns(client, 'meanwhile', turns);
  if ((await backlog.waiting()) === 0) throw new Error('the flood was over before everybody had asked');
  await backlog.drained();
  const places = new Map((await watch.stop()).map((id, place) => [id, place]));
  const orders = [floodIds, ...flooded.orders];
  return {
    alone: percentilesOf(alone.waits),
    flooded: percentilesOf(flooded.waits),
    looked: orders.flat().filter((id) => places.has(id)).length,
    wrong: orders.reduce((sum, order) => sum + outOfOrder(order, places), 0),
  };
}

/** @returns how long each of the ten waited, ms, and for the mixed tiers in which order they are to be taken */
async function askInTurns(client: SchedulerClient, name: string, turns: number) {
  const waits: number[] = [];
  const orders: string[][] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    waits.push(...(await Promise.all(Array.from({ length: ASKED }, (_, index) => ask(client, `${name}-${turn}`, index)))));
    orders.push(await askMixed(client, `mixed-${name}-${turn}`));
  }
  return { waits, orders };
}

async function ask(client: SchedulerClient, tenantId: string, index: number): Promise<number> {
  const began = performance.now();
  const { status } = await client.allocate(`${tenantId}-${index}`, { tenantId, tier: 'standard' }, { timeoutMs: WAIT_MS });
  if (status !== 'granted') throw new Error(`a request was answered ${status}`);
  return performance.now() - began;
}

async function askMixed(client: SchedulerClient, tenantId: string): Promise<string[]> {
  const requests = MIXED.map((tier, index) => ({ requestId: randomUUID(), userId: `${tenantId}-${index}`, tenantId, tier }));
  const answers = await client.allocateMany(requests, { timeoutMs: WAIT_MS });
  const other = answers.find(({ status }) => status !== 'granted');
  if (other !== undefined) throw new Error(`a request was answered ${other.status}`);
  return requests.toSorted((a, b) => TIER_PRIORITY[b.tier] - TIER_PRIORITY[a.tier]).map(({ requestId }) => requestId);
}
