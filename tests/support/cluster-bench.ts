import type { TokenSecrets } from '../../cli/token.ts';
import type { LogLine } from '../../dev/cluster/log-line.ts';
import { freePort } from '../../dev/cluster/ports.ts';
import { type Cluster, type ClusterOptions, startCluster } from '../../dev/cluster/start-cluster.ts';
import type { ProcessEvent } from '../../dev/cluster/supervise.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { createTestDatabase } from './postgres.ts';
import { createTestPrefix, redisUrl } from './redis.ts';

const SECRET = 'a secret of at least thirty-two characters';

/** Every process of the product on a database and a corner of Redis of a test's own, with neighbours that are stood in for. */
export interface ClusterBench {
  readonly cluster: Cluster;
  readonly prefix: string;
  readonly store: Store;
  readonly secrets: TokenSecrets;
  /** What has happened to processes so far. */
  readonly events: readonly ProcessEvent[];
  /** Starts a second one of each process beside them. */
  beside(): Promise<Cluster>;
  close(): Promise<void>;
}

/** @param settings  more of the environment of every process */
export async function openClusterBench(settings: Readonly<Record<string, string>> = {}): Promise<ClusterBench> {
  const [database, { prefix, clean }] = [await createTestDatabase(), createTestPrefix()];
  const said = {
    ...process.env,
    NODE_OPTIONS: '',
    DATABASE_URL: database.url,
    REDIS_URL: redisUrl(),
    // The queues of the listener have the same names everywhere: events off, or tests that publish would be heard here.
    RABBITMQ_URL: '',
    QUEUE_PREFIX: prefix,
    JWT_SECRET: SECRET,
    SERVICE_TOKEN_SECRET: SECRET,
    DASHBOARD_PASSWORD: 'correct horse battery',
    DB_POOL_SIZE: '4',
    METRICS_PORT: undefined,
    ...settings,
  };
  const [lines, events]: [LogLine[], ProcessEvent[]] = [[], []];
  const start = async (options: Pick<ClusterOptions, 'standIns'> | undefined, env: ClusterOptions['env']) => {
    const onLine = (line: LogLine) => void lines.push(line);
    const onEvent = (event: ProcessEvent) => void events.push(event);
    const cluster = await startCluster({ env, stopWithinMs: 30_000, onLine, onEvent, ...options });
    const late = await cluster.ready;
    if (late.length > 0) throw new Error(`${late.join(', ')} did not come up: ${lines.map(({ text }) => text).join('\n')}`);
    return cluster;
  };
  // Any free ports, not the usual ones or their neighbours: other tests start clusters at the same time.
  const doors = async () => ({ PORT: String(await freePort()), DASHBOARD_PORT: String(await freePort()) });
  const [user, billing, notification] = [await freePort(), await freePort(), await freePort()];
  const urls = {
    USER_SERVICE_URL: `http://127.0.0.1:${user}`,
    BILLING_SERVICE_URL: `http://127.0.0.1:${billing}`,
    NOTIFICATION_SERVICE_URL: `http://127.0.0.1:${notification}`,
  };
  const args = ['--user-port', String(user), '--billing-port', String(billing), '--notification-port', String(notification)];
  const standIns = { args, summaryPort: await freePort() };
  const env = { ...said, ...urls, ...(await doors()) };
  const clusters = [await start({ standIns }, env)];
  const store = createStore({
    databaseUrl: database.url,
    poolSize: 4,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 10_000,
    applicationName: 'test',
  });
  const [cluster] = clusters;
  if (cluster === undefined) throw new Error('there is no cluster');
  return {
    cluster,
    prefix,
    store,
    secrets: { userSecret: SECRET, serviceSecret: SECRET },
    events,
    beside: async () => {
      const second = await start(undefined, { ...env, ...(await doors()) });
      clusters.push(second);
      return second;
    },
    close: async () => {
      for (const each of clusters.toReversed()) await each.stop();
      await store.close();
      await clean();
      await database.drop();
    },
  };
}
