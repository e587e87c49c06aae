import { setTimeout as pause } from 'node:timers/promises';
import { createStore, type Store } from '../shared/store/store.ts';
import { startBenchCluster } from './cluster.ts';
import { assertComplete } from './complete.ts';
import type { HttpAnswer } from './http-client.ts';
import { openHttpClient } from './http-client.ts';
import { openPlace, type Place } from './place.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { type Spread, spreadOf } from './spread.ts';

const DEVICES = 100;
const CONNECTIONS = 64;
const WORKERS = 4;
/** Every so manieth request comes from one of these few users. */
const BUSY_USERS = 10;
const EVERY = 4;
const WAIT_MS = 30_000;
const LOOK_EVERY_MS = 10;

/** Answers to a request that got no device: typed, and none of them a fault. */
const TYPED = new Set(['NO_DEVICE_AVAILABLE', 'QUOTA_EXCEEDED']);

interface Round {
  readonly seconds: number;
  readonly granted: number;
  readonly refused: number;
  readonly untyped: readonly string[];
  /** Looks at the database while it went on, and how often a device had two holders, or more than there are were held. */
  readonly looks: number;
  readonly double: number;
}

/** Many more requests than devices, from everywhere at once. */
export const contention: Scenario = {
  name: 'contention',
  about: `${CONNECTIONS} connections, ${WORKERS} worker processes, 10 000 requests for ${DEVICES} devices: exactly ${DEVICES} grants, a typed answer to every other`,
  run: async (run) => {
    const place = await openPlace(run.servers, run.say);
    try {
      const rounds: Round[] = [];
      for (let number = 1; number <= run.rounds; number += 1) {
        const round = await contend(run, place);
        run.say(`round ${number}/${run.rounds}  ${JSON.stringify({ ...round, seconds: Number(round.seconds.toFixed(1)) })}`);
        rounds.push(round);
      }
      return figuresOf(rounds, requestsOf(run));
    } finally {
      await place.close();
    }
  },
};

const requestsOf = ({ quick }: BenchRun) => (quick ? 1_000 : 10_000);

function figuresOf(rounds: readonly Round[], requests: number): Figure[] {
  const spread = (of: (round: Round) => number) => spreadOf(rounds.map(of));
  const exactly = (ours: Spread, goal: number) => ({ text: `= ${goal}`, met: ours.min === goal && ours.max === goal });
  const granted = spread((round) => round.granted);
  const refused = spread((round) => round.refused);
  const untyped = spread((round) => round.untyped.length);
  const double = spread((round) => round.double);
  return [
    { measure: 'granted', unit: '', ours: granted, goal: exactly(granted, DEVICES) },
    { measure: 'refused with a typed answer', unit: '', ours: refused, goal: exactly(refused, requests - DEVICES) },
    { measure: 'other answers', unit: '', ours: untyped, goal: exactly(untyped, 0) },
    { measure: 'moments with a device held twice', unit: '', ours: double, goal: exactly(double, 0) },
    { measure: 'looks at the database meanwhile', unit: '', ours: spread((round) => round.looks) },
    { measure: 'time', unit: 's', ours: spread((round) => round.seconds) },
    { measure: 'answers', unit: '/s', ours: spread((round) => requests / round.seconds) },
  ];
}

async function contend(run: BenchRun, place: Place): Promise<Round> {
  await place.renew(DEVICES);
  const cluster = await startBenchCluster(run.servers, place, { allocation: WORKERS });
  const store = createStore({
    databaseUrl: place.databaseUrl,
    poolSize: 2,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 10_000,
    applicationName: 'bench',
  });
  try {
    const watch = watchHolders(store);
    const began = performance.now();
    const answers = await askAll(cluster.api, cluster.headers, requestsOf(run));
    const seconds = (performance.now() - began) / 1_000;
    const seen = await watch.stop();
    await assertComplete(store, DEVICES);
    const granted = answers.filter(({ status }) => status === 201).length;
    const typed = answers.filter(({ status, body }) => status >= 400 && status < 500 && TYPED.has(body.code ?? ''));
    const rest = answers.filter((answer) => answer.status !== 201 && !typed.includes(answer));
    return { seconds, granted, refused: typed.length, untyped: rest.map(({ status, body }) => `${status} ${body.code ?? ''}`), ...seen };
  } finally {
    await store.close();
    await cluster.close();
  }
}

/** All requests over a fixed number of connections, each asking again as soon as it is answered. */
async function askAll(api: string, headers: Readonly<Record<string, string>>, requests: number): Promise<HttpAnswer[]> {
  const http = openHttpClient(api, headers, CONNECTIONS);
  const answers: HttpAnswer[] = [];
  let next = 0;
  const connection = async () => {
    for (let number = next++; number < requests; number = next++) {
      const userId = number % EVERY === 0 ? `busy-${(number / EVERY) % BUSY_USERS}` : `user-${number}`;
      answers.push(await http.post('/scheduler/devices/allocate', { userId, waitMs: WAIT_MS }));
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  http.close();
  return answers;
}

/** Looks again and again who holds what, until stopped. */
function watchHolders(store: Store): { stop: () => Promise<{ looks: number; double: number }> } {
  let stopped = false;
  const watching = (async () => {
    let looks = 0;
    let double = 0;
    while (!stopped) {
      const [held] = await store.prisma.$queryRaw<{ live: number; devices: number }[]>`
        SELECT count(*)::int AS live, count(DISTINCT device_id)::int AS devices FROM allocations WHERE status = 'allocated'`;
      looks += 1;
      await pause(LOOK_EVERY_MS);
      if (held === undefined || held.live !== held.devices || held.live > DEVICES) double += 1;
    }
    return { looks, double };
  })();
  return {
    stop: () => {
      stopped = true;
      return watching;
    },
  };
}
