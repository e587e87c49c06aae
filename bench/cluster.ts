import { signToken } from '../cli/token.ts';
import { freePort } from '../dev/cluster/ports.ts';
import { startCluster, type WorkerName } from '../dev/cluster/start-cluster.ts';
import type { Supervised } from '../dev/cluster/supervise.ts';
import { readEnvironment } from '../shared/config-files.ts';
import { type HttpClient, openHttpClient } from './http-client.ts';
import { type Place, PREFIX } from './place.ts';
import type { BenchServers } from './scenario.ts';

/** Every process of the product on the database of the benchmarks, and a service that may ask for everybody. */
export interface BenchCluster {
  /** Asks as a service, as often as it likes. */
  readonly http: HttpClient;
  readonly api: string;
  /** The headers `http` sends. */
  readonly headers: Readonly<Record<string, string>>;
  readonly processes: readonly Supervised[];
  close(): Promise<void>;
}

const UNLIMITED = '10000000';
const STOP_WITHIN_MS = 10_000;
const SERVICE = 'bench';
/** pino's number. */
const ERROR = 50;

/**
 * Starts one process of each kind unless `copies` says more. The neighbours are stood in for and grant every user 1 000 devices.
 *
 * @throws Error when a process does not come up
 */
export async function startBenchCluster(
  servers: BenchServers,
  place: Place,
  copies: Partial<Record<WorkerName, number>> = {},
): Promise<BenchCluster> {
  const [port, dashboard, user, billing, notification, summaryPort] = await Promise.all(Array.from({ length: 6 }, freePort));
  const cluster = await startCluster({
    env: {
      ...readEnvironment(),
      ...environment(servers, place),
      PORT: String(port),
      DASHBOARD_PORT: String(dashboard),
      USER_SERVICE_URL: `http://127.0.0.1:${user}`,
      BILLING_SERVICE_URL: `http://127.0.0.1:${billing}`,
      NOTIFICATION_SERVICE_URL: `http://127.0.0.1:${notification}`,
    },
    copies,
    standIns: { args: ['--max-devices', '1000'], summaryPort: summaryPort ?? 0 },
    stopWithinMs: STOP_WITHIN_MS,
    onLine: ({ level, name, text }) => {
      if (level >= ERROR) process.stderr.write(`       ${name}: ${text}\n`);
    },
    onEvent: (event) => {
      if (event.kind === 'died') process.stderr.write(`       ${event.name} died (${event.how})\n`);
    },
  });
  const late = await cluster.ready;
  if (late.length > 0) {
    await cluster.stop();
    throw new Error(`not up within a minute: ${late.join(', ')}`);
  }
  const secrets = { userSecret: servers.userSecret, serviceSecret: servers.serviceSecret };
  const headers = { 'x-service-token': await signToken({ service: SERVICE, expiresIn: '86400' }, secrets) };
  const http = openHttpClient(cluster.addresses.api, headers);
  return {
    http,
    headers,
    api: cluster.addresses.api,
    processes: cluster.processes,
    close: async () => {
      http.close();
      await cluster.stop();
    },
  };
}

function environment(servers: BenchServers, place: Place): Record<string, string> {
  return {
    NODE_ENV: 'development',
    LOG_LEVEL: 'warn',
    HOST: '127.0.0.1',
    METRICS_HOST: '127.0.0.1',
    METRICS_PORT: '',
    DATABASE_URL: place.databaseUrl,
    REDIS_URL: servers.redisUrl,
    QUEUE_PREFIX: PREFIX,
    SERVICE_ALLOW_LIST: SERVICE,
    RATE_LIMIT_READ: UNLIMITED,
    RATE_LIMIT_WRITE: UNLIMITED,
    RATE_LIMIT_BATCH: UNLIMITED,
  };
}
