/** How a process of the cluster is run by Kubernetes. */
export interface ProcessSpec {
  readonly name: string;
  readonly command: readonly string[];
  readonly replicas: number;
  /** Kubernetes quantities. */
  readonly cpu: string;
  readonly memory: { readonly request: string; readonly limit: string };
  /** Port that is served to others, besides the metrics. */
  readonly port?: number;
  /** Grown by KEDA with what waits in a queue of BullMQ: one process more for every so many jobs. */
  readonly growsWith?: { readonly queue: string; readonly jobsEach: number; readonly atMost: number };
}

/** See dev/cluster/start-cluster.ts for what the arguments are good for. */
const run = (folder: string) => ['node', '--max-semi-space-size=4', '--heap-growing-percent=10', `${folder}/main.ts`];
const WORKER = { cpu: '100m', memory: { request: '160Mi', limit: '400Mi' } } as const;
const worker = (name: string) => ({ name, command: run(`workers/${name}`), replicas: 2, ...WORKER });

/**
 * Every process, two of each so that one can be replaced while the other works. Memory: see `npm run bench -- memory`; the
 * limit leaves room for an import (API) and for a backlog (workers).
 */
export const PROCESSES: readonly ProcessSpec[] = [
  {
    name: 'api',
    command: run('api'),
    replicas: 2,
    cpu: '250m',
    memory: { request: '200Mi', limit: '512Mi' },
    port: 30_002,
  },
  // One worker decides some thousands a second: two seconds of work for each before there is another.
  { ...worker('allocation'), cpu: '500m', growsWith: { queue: 'allocate', jobsEach: 10_000, atMost: 8 } },
  worker('waitlist'),
  worker('lifecycle'),
  // Deliveries wait for neighbours, not for processors: many may run beside each other.
  { ...worker('delivery'), growsWith: { queue: 'delivery', jobsEach: 2_000, atMost: 6 } },
  worker('relay'),
  worker('listener'),
  worker('maintenance'),
  worker('reservations'),
  { name: 'dashboards', command: run('dashboards'), replicas: 1, ...WORKER, port: 30_003 },
];
