import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { FAULT_POINTS, type FaultPoint } from '../../shared/fault-point.ts';
import type { ChaosFault } from '../fault.ts';
import type { ProcessName } from '../processes.ts';
import type { Stage } from '../stage.ts';

/** Longer than the lock of a job (15 s): what was in hand runs elsewhere by then. */
const FROZEN_MS = 17_000;
const AWAY_MS = 10_000;
const WRONG_BY_MS = 10 * 60_000;

const KILLED: readonly ProcessName[] = [
  'api',
  'allocation-1',
  'waitlist',
  'lifecycle',
  'delivery',
  'relay',
  'maintenance',
  'reservations',
  'listener',
];
/** They neither grant nor end. */
const BESIDE: readonly ProcessName[] = ['delivery', 'relay', 'listener'];
const SCHEDULERS: readonly ProcessName[] = ['maintenance', 'reservations'];
const preload = (file: string) => ({ NODE_OPTIONS: `--import ${new URL(`../${file}`, import.meta.url).href}` });

const kills = KILLED.map(
  (name): ChaosFault => ({
    name: `kill-${name.replace('-1', '')}`,
    says: `${name} is killed`,
    lastsMs: 0,
    strike: ({ processes }) => processes.signal(name, 'SIGKILL'),
    evidence: ({ processes }) => processes.deaths(name),
  }),
);

const freezes = KILLED.map(
  (name): ChaosFault => ({
    name: `freeze-${name.replace('-1', '')}`,
    says: `${name} stands still for longer than its locks live, then goes on`,
    lastsMs: FROZEN_MS,
    ...(BESIDE.includes(name) ? { sparesTime: true as const } : {}),
    strike: ({ processes }) => processes.signal(name, 'SIGSTOP'),
    undo: ({ processes }) => processes.signal(name, 'SIGCONT'),
  }),
);

const SHIFTS: readonly (readonly [name: string, names: readonly ProcessName[], shiftMs: number])[] = [
  ['clock-behind', ['allocation-1', 'waitlist', ...SCHEDULERS], -WRONG_BY_MS],
  ['clock-ahead', ['allocation-1', 'waitlist', ...SCHEDULERS], WRONG_BY_MS],
  // One that disagrees with its equals.
  ['clock-of-one-behind', ['allocation-1'], -WRONG_BY_MS],
  ['clock-of-one-ahead', ['maintenance'], WRONG_BY_MS],
];

const clocks = SHIFTS.map(
  ([name, names, shift]): ChaosFault => ({
    name,
    says: `the clock of ${names.join(', ')} is wrong by ${shift / 60_000} minutes`,
    lastsMs: AWAY_MS,
    strike: (stage) => restart(stage, names, { ...preload('shift-clock.ts'), CLOCK_SHIFT_MS: String(shift) }),
    undo: (stage) => restart(stage, names),
  }),
);

/** Which process passes the steps of a verb. */
const PASSED_BY: Readonly<Record<string, ProcessName>> = {
  grant: 'allocation-1',
  release: 'lifecycle',
  end: 'lifecycle',
  expire: 'maintenance',
  start: 'reservations',
  publish: 'relay',
  tell: 'relay',
  'hand-out': 'relay',
  bill: 'delivery',
  report: 'delivery',
  notice: 'delivery',
  consume: 'listener',
};

const verbOf = (point: FaultPoint) => point.split('.')[0] ?? '';
const marks = mkdtempSync(join(tmpdir(), 'chaos-marks-'));
const strikesAt = (point: string) => readdirSync(marks).filter((name) => name.startsWith(`${point} `)).length;
let marked = 0;

/** Starts a process that is struck once at a step. @returns when it is up */
function armed(stage: Stage, name: ProcessName, point: FaultPoint, settings: Readonly<Record<string, string>>): Promise<void> {
  marked += 1;
  const FAULT_MARK = join(marks, `${point} ${marked}`);
  return restart(stage, [name], { ...preload('arm-fault-point.ts'), FAULT_POINT: point, FAULT_MARK, ...settings });
}

/** Each numbered step; the process dies there once, at the first or second time it gets there. */
export const POINT_FAULTS: readonly ChaosFault[] = (Object.keys(FAULT_POINTS) as FaultPoint[]).map((point) => {
  const name = PASSED_BY[verbOf(point)] ?? 'allocation-1';
  return {
    name: `at-${point}`,
    says: `${name} dies where ${FAULT_POINTS[point]}`,
    lastsMs: 0,
    early: true,
    strike: (stage, random) => armed(stage, name, point, { FAULT_TIMES: String(1 + random.below(2)) }),
    evidence: () => strikesAt(point),
    undo: (stage) => restart(stage, [name]),
  };
});

/** Steps with somebody else's lock or claim in hand: the event loop stands still there for longer than those live. */
const STALLED = ['grant.3', 'grant.6', 'release.3', 'expire.3', 'start.5', 'publish.2', 'bill.1', 'report.2', 'consume.4'] as const;

const stalls = STALLED.map((point): ChaosFault => {
  const name = PASSED_BY[verbOf(point)] ?? 'allocation-1';
  return {
    name: `stall-${point}`,
    says: `the event loop of ${name} stands still where ${FAULT_POINTS[point]}; its work is done twice`,
    lastsMs: 0,
    early: true,
    strike: (stage) => armed(stage, name, point, { FAULT_KIND: 'stall', FAULT_STALL_MS: String(FROZEN_MS) }),
    evidence: () => strikesAt(point),
    undo: async (stage) => {
      await pause(FROZEN_MS);
      await restart(stage, [name]);
    },
  };
});

/** The locks of Redis vanish while the process that holds them stands still in their midst. */
const lockLost: ChaosFault = {
  name: 'redis-lock-lost',
  says: 'allocation-1 stands still while it holds its locks in Redis, and loses them',
  lastsMs: AWAY_MS,
  early: true,
  strike: async (stage) => {
    const before = strikesAt('grant.3');
    await armed(stage, 'allocation-1', 'grant.3', { FAULT_KIND: 'stall', FAULT_STALL_MS: String(AWAY_MS) });
    while (strikesAt('grant.3') === before) await pause(20);
    const client = new Redis(stage.redis.url, { maxRetriesPerRequest: 1 });
    try {
      const locks = await client.keys(`${stage.config.QUEUE_PREFIX}:lock:*`);
      if (locks.length === 0) throw new Error('there were no locks to lose');
      await client.del(...locks);
    } finally {
      client.disconnect();
    }
  },
  undo: (stage) => restart(stage, ['allocation-1']),
};

async function restart({ processes }: Stage, names: readonly ProcessName[], changes: Readonly<Record<string, string>> = {}): Promise<void> {
  await Promise.all(
    names.map(async (name) => {
      await processes.stop(name);
      await processes.start(name, changes);
    }),
  );
}

/** What may happen to processes. */
export const PROCESS_FAULTS: readonly ChaosFault[] = [
  ...kills,
  ...freezes,
  ...stalls,
  lockLost,
  ...clocks,
  {
    name: 'kill-all-workers',
    says: 'every worker is killed at once',
    lastsMs: 0,
    strike: ({ processes }) => {
      for (const name of processes.names) if (name !== 'api') processes.signal(name, 'SIGKILL');
    },
  },
  {
    name: 'restart-all',
    says: 'every process is restarted in order, one after the other, as by a deployment',
    lastsMs: 0,
    strike: async (stage) => {
      for (const name of stage.processes.names) await restart(stage, [name]);
    },
  },
  {
    name: 'two-schedulers',
    says: 'a second scheduler, reservations worker and relay run beside the first',
    lastsMs: AWAY_MS,
    strike: async ({ processes }) => {
      for (const name of ['maintenance-2', 'reservations-2', 'relay-2'] as const) await processes.start(name);
    },
    undo: async ({ processes }) => {
      for (const name of ['maintenance-2', 'reservations-2', 'relay-2'] as const) await processes.stop(name);
    },
  },
  {
    name: 'no-scheduler',
    says: 'nobody expires, reconciles or begins reservations for a while',
    lastsMs: AWAY_MS,
    strike: async ({ processes }) => void (await Promise.all(SCHEDULERS.map((name) => processes.stop(name)))),
    undo: async ({ processes }) => void (await Promise.all(SCHEDULERS.map((name) => processes.start(name)))),
  },
  {
    name: 'downtime',
    says: 'everything is down while reservations begin and leases run out',
    lastsMs: 15_000,
    strike: async ({ processes }) => {
      for (const name of processes.names) processes.signal(name, 'SIGKILL');
      await Promise.all(processes.names.map((name) => processes.stop(name)));
    },
    undo: async ({ processes }) => {
      for (const name of processes.names) await processes.start(name);
    },
  },
];
