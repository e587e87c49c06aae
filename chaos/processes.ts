import { processSpec } from '../dev/cluster/start-cluster.ts';
import { type ProcessEvent, type ProcessSpec, type Supervised, supervise } from '../dev/cluster/supervise.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Two decide, so that there is work to go on with while one of them is dead. */
const NAMES = [
  'api',
  'allocation-1',
  'allocation-2',
  'waitlist',
  'lifecycle',
  'delivery',
  'relay',
  'maintenance',
  'reservations',
  'listener',
] as const;

export type ProcessName = (typeof NAMES)[number] | 'maintenance-2' | 'reservations-2' | 'relay-2';

/** The processes of the product, as `npm start` runs them: each is replaced when it dies. */
export interface Processes {
  readonly names: readonly ProcessName[];
  /** Resolves when all answer; throws when one does not within a minute and a half. */
  ready(): Promise<void>;
  /** Throws when there is no such process. */
  signal(name: ProcessName, signal: NodeJS.Signals): void;
  /** How often it has died by itself, or was killed. */
  deaths(name: ProcessName): number;
  /** Ends it in order; it is not replaced. */
  stop(name: ProcessName): Promise<void>;
  /** Starts it, with changes to its environment if there are any. */
  start(name: ProcessName, changes?: Environment): Promise<void>;
  stopAll(): Promise<void>;
}

const STOP_WITHIN_MS = 30_000;
const READY_WITHIN_MS = 90_000;

/**
 * Starts them all.
 *
 * @param env  of every process; PORT must be set
 */
export async function startProcesses(
  env: Environment,
  hear: { readonly onLine: (name: string, line: string) => void; readonly onEvent: (event: ProcessEvent) => void },
): Promise<Processes> {
  const running = new Map<ProcessName, Supervised>();
  const deaths = new Map<string, number>();
  const onEvent = (event: ProcessEvent) => {
    if (event.kind === 'died') deaths.set(event.name, (deaths.get(event.name) ?? 0) + 1);
    hear.onEvent(event);
  };
  const start = async (name: ProcessName, changes: Environment = {}) => {
    // An early replacement: nobody waits here for what a crash loop would cost.
    running.set(name, supervise(await specOf(name, { ...env, ...changes }), { ...hear, onEvent, longestPauseMs: 1_000 }));
  };
  const stop = async (name: ProcessName) => {
    const process = running.get(name);
    running.delete(name);
    await process?.stop(STOP_WITHIN_MS);
  };
  for (const name of NAMES) await start(name);
  return {
    names: NAMES,
    ready: async () => {
      const missing = [...running.values()].map(async (process) => ((await process.healthy(READY_WITHIN_MS)) ? [] : [process.name]));
      const late = (await Promise.all(missing)).flat();
      if (late.length > 0) throw new Error(`not up in time: ${late.join(', ')}`);
    },
    signal: (name, signal) => {
      const process = running.get(name);
      if (process === undefined) throw new Error(`${name} does not run`);
      process.kill(signal);
    },
    deaths: (name) => deaths.get(name) ?? 0,
    stop,
    start,
    stopAll: async () => void (await Promise.all([...running.keys()].map(stop))),
  };
}

function specOf(name: ProcessName, env: Environment): Promise<ProcessSpec> {
  return processSpec(name, name === 'api' ? 'api/main.ts' : `workers/${name.replace(/-\d$/, '')}/main.ts`, env);
}
