import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
const SCHEDULERS: readonly ProcessName[] = ['maintenance', 'reservations'];
const preload = (file: string) => ({ NODE_OPTIONS: `--import ${new URL(`../${file}`, import.meta.url).href}` });

const kills = KILLED.map(
  (name): ChaosFault => ({
    name: `kill-${name.replace('-1', '')}`,
    says: `${name} is killed`,
    lastsMs: 0,
    strike: ({ processes }) => processes.signal(name, 'SIGKILL'),
  }),
);

const freezes = (['allocation-1', 'lifecycle', 'delivery', 'relay'] as const).map(
  (name): ChaosFault => ({
    name: `freeze-${name.replace('-1', '')}`,
    says: `${name} stands still for longer than its locks live, then goes on`,
    lastsMs: FROZEN_MS,
    strike: ({ processes }) => processes.signal(name, 'SIGSTOP'),
    undo: ({ processes }) => processes.signal(name, 'SIGCONT'),
  }),
);

const clocks = ([-WRONG_BY_MS, WRONG_BY_MS] as const).map((shift): ChaosFault => {
  const names: readonly ProcessName[] = ['allocation-1', 'waitlist', ...SCHEDULERS];
  return {
    name: shift > 0 ? 'clock-ahead' : 'clock-behind',
    says: `the clock of ${names.join(', ')} is wrong by ${shift / 60_000} minutes`,
    lastsMs: AWAY_MS,
    strike: (stage) => restart(stage, names, { ...preload('shift-clock.ts'), CLOCK_SHIFT_MS: String(shift) }),
    undo: (stage) => restart(stage, names),
  };
});

/** Which process passes the steps of a verb. */
const PASSED_BY: Readonly<Record<string, ProcessName>> = {
  grant: 'allocation-1',
  release: 'lifecycle',
  end: 'lifecycle',
  expire: 'maintenance',
  start: 'reservations',
  publish: 'relay',
  'hand-out': 'relay',
  bill: 'delivery',
  report: 'delivery',
  consume: 'listener',
};

/** Each numbered step; the process dies there once, at the second to fifth time it gets there. */
export const POINT_FAULTS: readonly ChaosFault[] = (Object.keys(FAULT_POINTS) as FaultPoint[]).map((point) => {
  const name = PASSED_BY[point.split('.')[0] ?? ''] ?? 'allocation-1';
  return {
    name: `at-${point}`,
    says: `${name} dies where ${FAULT_POINTS[point]}`,
    lastsMs: AWAY_MS,
    strike: (stage, random) => {
      const mark = join(tmpdir(), `chaos-${process.pid}-${random.below(1e9)}`);
      const armed = { ...preload('arm-fault-point.ts'), FAULT_POINT: point, FAULT_MARK: mark, FAULT_TIMES: String(2 + random.below(4)) };
      return restart(stage, [name], armed);
    },
    undo: (stage) => restart(stage, [name]),
  };
});

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
