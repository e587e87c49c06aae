import { fileURLToPath } from 'node:url';
import type { LogLine } from './log-line.ts';
import { readLogLine } from './log-line.ts';
import { freePort } from './ports.ts';
import { type ProcessEvent, type ProcessSpec, type Supervised, supervise } from './supervise.ts';

/** The workers there are; each is a folder of `workers/`. */
export const WORKERS = ['allocation', 'waitlist', 'lifecycle', 'delivery', 'relay', 'maintenance', 'reservations', 'listener'] as const;

export type WorkerName = (typeof WORKERS)[number];

export interface ClusterOptions {
  /** Environment of every process. PORT, DASHBOARD_PORT and the three neighbour URLs must be set. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How many processes of a worker; one unless said. */
  readonly copies?: Partial<Readonly<Record<WorkerName, number>>>;
  /** Arguments of the stand-ins for the neighbours; none are started without. */
  readonly standIns?: { readonly args: readonly string[]; readonly summaryPort: number };
  /** Longest orderly end of a process, ms. */
  readonly stopWithinMs: number;
  readonly onLine: (line: LogLine) => void;
  readonly onEvent: (event: ProcessEvent) => void;
}

/** Where a running cluster is reached. */
export interface ClusterAddresses {
  readonly api: string;
  readonly dashboard: string;
  /** What the stand-ins were told; only with stand-ins. */
  readonly standIns: string | undefined;
}

export interface Cluster {
  readonly addresses: ClusterAddresses;
  readonly processes: readonly Supervised[];
  /** Resolves when every process answers, or has not within a minute, with the names of those. */
  readonly ready: Promise<readonly string[]>;
  /** Kills one process; it is replaced. Throws for an unknown name. */
  kill(name: string, signal?: NodeJS.Signals): void;
  /** Ends every process in order: who takes requests first, the neighbours last. */
  stop(): Promise<void>;
}

const fileOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const READY_WITHIN_MS = 60_000;
/**
 * As in the image and in docker-compose.yml. V8 lets the heap grow to four times of what lives before it collects, and the young
 * up to 130 MB where there is much memory: with these a worker with a backlog takes 200 MB and not 460, see `npm run bench -- memory`.
 */
export const MODEST_NODE_ARGS = ['--max-semi-space-size=4', '--heap-growing-percent=10'];
/** Sources that were read once are not stripped of their types again; and fewer pools of the allocator. Less memory for each. */
export const MODEST_ENV = { NODE_COMPILE_CACHE: fileOf('node_modules/.cache/node-compile-cache'), MALLOC_ARENA_MAX: '2' };

/** Starts every process of the product on this machine and keeps each alive until `stop`. They are starting when it resolves: see `ready`. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { env, stopWithinMs, onEvent } = options;
  const onLine = (name: string, line: string) => options.onLine(readLogLine(name, line));
  const run = (spec: ProcessSpec) => supervise(spec, { onLine, onEvent });
  const neighbours = options.standIns === undefined ? [] : [run(standInsSpec(options.standIns, env))];
  const front = (await Promise.all([processSpec('api', 'api/main.ts', env), processSpec('dashboards', 'dashboards/main.ts', env)])).map(
    run,
  );
  const workers = (await Promise.all(workerSpecs(options))).map(run);
  const processes = [...front, ...workers, ...neighbours];
  return {
    addresses: addressesOf(options),
    processes,
    ready: whoIsNotReady(processes),
    kill: (name, signal = 'SIGKILL') => find(processes, name).kill(signal),
    stop: async () => {
      for (const group of [front, workers, neighbours]) await Promise.all(group.map((process) => process.stop(stopWithinMs)));
    },
  };
}

async function whoIsNotReady(processes: readonly Supervised[]): Promise<readonly string[]> {
  const ready = await Promise.all(processes.map((process) => process.healthy(READY_WITHIN_MS)));
  return processes.filter((_, index) => ready[index] !== true).map(({ name }) => name);
}

function addressesOf({ env, standIns }: ClusterOptions): ClusterAddresses {
  const host = hostOf(env['HOST']);
  return {
    api: `http://${host}:${env['PORT']}`,
    dashboard: `http://${host}:${env['DASHBOARD_PORT']}`,
    standIns: standIns === undefined ? undefined : `http://127.0.0.1:${standIns.summaryPort}/summary`,
  };
}

/** An address one can call, where the processes listen on all of them. */
function hostOf(host: string | undefined): string {
  return host === undefined || host === '' || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
}

/** Each gets a metrics port of its own that we know, and keeps it when it is replaced: that is where it is asked for its health. */
export async function processSpec(name: string, file: string, env: ClusterOptions['env']): Promise<ProcessSpec> {
  const port = await freePort();
  const own = name === 'api' && env['METRICS_PORT'] ? Number(env['METRICS_PORT']) : port;
  return {
    name,
    file: fileOf(file),
    nodeArgs: MODEST_NODE_ARGS,
    env: { ...MODEST_ENV, ...env, METRICS_PORT: String(own) },
    healthUrl: `http://${hostOf(env['METRICS_HOST'])}:${own}/health`,
  };
}

function workerSpecs({ env, copies = {} }: ClusterOptions): Promise<ProcessSpec>[] {
  return WORKERS.flatMap((worker) => {
    const count = copies[worker] ?? 1;
    const names = Array.from({ length: count }, (_, index) => (count === 1 ? worker : `${worker}-${index + 1}`));
    return names.map((name) => processSpec(name, `workers/${worker}/main.ts`, env));
  });
}

function standInsSpec({ args, summaryPort }: NonNullable<ClusterOptions['standIns']>, env: ClusterOptions['env']): ProcessSpec {
  return {
    name: 'stand-ins',
    file: fileOf('dev/stand-ins/main.ts'),
    args: [...args, '--summary-port', String(summaryPort)],
    env,
    healthUrl: `http://127.0.0.1:${summaryPort}/summary`,
  };
}

function find(processes: readonly Supervised[], name: string): Supervised {
  const found = processes.find((process) => process.name === name);
  if (found === undefined) throw new Error(`there is no process ${name}; there are ${processes.map((process) => process.name).join(', ')}`);
  return found;
}
