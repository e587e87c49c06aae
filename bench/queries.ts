import { explaining, type StatementPlan } from '../dev/explain.ts';
import { listAllocations } from '../shared/store/allocation-history.ts';
import { listAvailable } from '../shared/store/available.ts';
import { lockDue } from '../shared/store/expire.ts';
import { createStore, type Store } from '../shared/store/store.ts';
import { DUE, fillHistory, type HistorySize } from './fill-history.ts';
import { openPlace, type Place } from './place.ts';
import type { BenchRun, Figure, Scenario } from './scenario.ts';
import { quantile, ratioOf, spreadOf } from './spread.ts';

const FULL: HistorySize = { allocations: 10_000_000, devices: 1_000_000 };
const SMALL: HistorySize = { allocations: 100_000, devices: 10_000 };
const QUICK: HistorySize = { allocations: 400_000, devices: 40_000 };
/** Rows are made for so long at most; a slow disk gets a shorter history, and the table says how long it is. */
const FILL_MS = 20 * 60_000;
const SAMPLES = 200;
const PAGE = 20;
const MOST_RATIO = 1.5;
/** Holds only rows that could not be ended, hardly any: reading it whole is the quicker way. */
const STAYS_SMALL = 'stuck_ends';

/** One question the product asks all the time. */
interface Question {
  readonly name: string;
  /** Most of the 95th percentile, ms. */
  readonly goalMs: number;
  /** One of these has to be used. */
  readonly indexes: readonly string[];
  readonly ask: (store: Store, size: HistorySize, sample: number) => Promise<unknown>;
}

const ALL = { kind: 'all' } as const;
const QUESTIONS: readonly Question[] = [
  {
    name: 'active',
    goalMs: 5,
    indexes: ['allocations_history'],
    ask: (store) => listAllocations(store, { status: 'allocated' }, ALL, PAGE, undefined),
  },
  {
    name: 'by user',
    goalMs: 3,
    indexes: ['allocations_history_of_user'],
    ask: (store, { allocations }, sample) =>
      listAllocations(store, { userId: `user-${(sample * 7) % (allocations / 100)}` }, ALL, PAGE, undefined),
  },
  { name: `due, ${DUE} at once`, goalMs: 8, indexes: ['allocations_due'], ask: (store) => lockDue(store.prisma, DUE) },
  {
    name: 'available',
    goalMs: 2,
    indexes: ['devices_list_available', 'devices_pkey'],
    ask: (store, _, sample) =>
      listAvailable(store, { tenants: ALL }, PAGE, `${(sample % 256).toString(16).padStart(2, '0')}000000-0000-0000-0000-000000000000`),
  },
];

/** The questions of every day over a history of years. */
export const queries: Scenario = {
  name: 'queries',
  about:
    'time in Postgres of the everyday questions over 10 000 000 allocations and 1 000 000 devices, the same over 100 000 beside it; their plans',
  run: async (run) => {
    const place = await openPlace(run.servers, run.say);
    try {
      const few = await measureAt(run, place, SMALL);
      const many = await measureAt(run, place, run.quick ? QUICK : FULL);
      return QUESTIONS.map((question, index) => figureOf(question, many, few, index));
    } finally {
      await place.close();
    }
  },
};

/** What was measured at one size: the 95th percentiles by question and round. */
interface Measured {
  readonly allocations: number;
  readonly p95: readonly (readonly number[])[];
}

function figureOf({ name, goalMs }: Question, many: Measured, few: Measured, index: number): Figure {
  const [ours, reference] = [many.p95[index] ?? [], few.p95[index] ?? []];
  const ratio = ratioOf(ours, reference);
  const p95 = spreadOf(ours);
  return {
    measure: `${name}, p95 of ${many.allocations} allocations`,
    unit: 'ms',
    ours: p95,
    reference: { name: `${few.allocations} allocations`, spread: spreadOf(reference) },
    ratio,
    goal: { text: `≤ ${goalMs} ms, ≤ ${MOST_RATIO} ×`, met: p95.median <= goalMs && ratio.median <= MOST_RATIO },
  };
}

async function measureAt(run: BenchRun, place: Place, size: HistorySize): Promise<Measured> {
  await place.renew(size.devices);
  const allocations = await fillHistory(place.databaseUrl, size, FILL_MS, run.say);
  const options = { poolSize: 1, acquireTimeoutMs: 60_000, statementTimeoutMs: 60_000, applicationName: 'bench' };
  const store = createStore({ databaseUrl: place.databaseUrl, ...options });
  try {
    const p95: number[][] = QUESTIONS.map(() => []);
    for (let round = 1; round <= run.rounds; round += 1) {
      for (const [index, question] of QUESTIONS.entries())
        p95[index]?.push(await ask(run, store, { ...size, allocations }, question, round));
    }
    return { allocations, p95 };
  } finally {
    await store.close();
  }
}

/** @returns the 95th percentile, ms. @throws Error when an index is not used or a table is read from end to end */
async function ask(run: BenchRun, store: Store, size: HistorySize, question: Question, round: number): Promise<number> {
  const plans: StatementPlan[] = [];
  const through = { ...store, prisma: explaining(store.prisma, plans) };
  for (let sample = 0; sample < SAMPLES; sample += 1) await question.ask(through, size, round * SAMPLES + sample);
  const wrong = plans.find(
    ({ scanned, indexes }) => scanned.some((table) => table !== STAYS_SMALL) || !question.indexes.some((index) => indexes.includes(index)),
  );
  if (wrong !== undefined) throw new Error(`${question.name}: reads ${wrong.scanned.join(', ')} by ${wrong.indexes.join(', ')}`);
  const p95 = quantile(
    plans.map(({ ms }) => ms).toSorted((a, b) => a - b),
    0.95,
  );
  run.say(
    `round ${round}/${run.rounds}  ${question.name} of ${size.allocations}: p95 ${p95.toFixed(2)} ms, by ${plans[0]?.indexes.join(', ')}`,
  );
  return p95;
}
