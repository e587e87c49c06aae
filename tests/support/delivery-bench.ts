import { randomUUID } from 'node:crypto';
import { type BillingServiceControl, startBillingService } from '../../dev/stand-ins/billing-service.ts';
import type { StandIn } from '../../dev/stand-ins/stand-in.ts';
import { startUserService, type UserServiceControl } from '../../dev/stand-ins/user-service.ts';
import { createBillingClient } from '../../shared/clients/billing-client.ts';
import { createUsageClient } from '../../shared/clients/usage-client.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';
import type { QueueWorker } from '../../shared/run/queue-worker.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import type { DeliveryDeps, DeliveryPolicy } from '../../workers/delivery/delivery-deps.ts';
import { startDelivery } from '../../workers/delivery/start-delivery.ts';
import { openCaller, SERVICE_SECRET } from './neighbours.ts';
import { createTestDatabase } from './postgres.ts';
import { redisUrl } from './redis.ts';

/** Repeats without a pause, so that a test needs no patience. */
const POLICY: DeliveryPolicy = { maxAttempts: 5, pause: { baseMs: 0, maxMs: 0 }, notAskedPauseMs: 0, leaseMs: 60_000, callMs: 5_000 };

/** A database, two neighbours and what delivers to them. */
export interface DeliveryBench {
  readonly databaseUrl: string;
  readonly store: Store;
  readonly users: StandIn<UserServiceControl>;
  readonly billing: StandIn<BillingServiceControl>;
  readonly metrics: Metrics;
  /** What a job works with; breakers and learned routes are its own. */
  deps(policy?: Partial<DeliveryPolicy>): DeliveryDeps;
  /** A worker on the queue under this prefix. */
  startWorker(prefix: string, policy?: Partial<DeliveryPolicy>): QueueWorker;
  close(): Promise<void>;
}

/** Opens everything a test of the deliveries needs; `close` takes it away again. */
export async function openDeliveryBench(): Promise<DeliveryBench> {
  const database = await createTestDatabase();
  const store = createStore({
    databaseUrl: database.url,
    poolSize: 4,
    acquireTimeoutMs: 5_000,
    statementTimeoutMs: 5_000,
    applicationName: 'test',
  });
  const users = await startUserService({ port: 0, secret: SERVICE_SECRET });
  const billing = await startBillingService({ port: 0, secret: SERVICE_SECRET });
  const metrics = createMetrics('test');
  const logger = createLogger('test', 'silent');
  const closers: (() => Promise<void> | void)[] = [];

  function deps(policy: Partial<DeliveryPolicy> = {}) {
    const userCaller = openCaller('user', users.url);
    const billingCaller = openCaller('billing', billing.url);
    closers.push(userCaller.close, billingCaller.close);
    const clients = { usage: createUsageClient(userCaller), billing: createBillingClient(billingCaller) };
    return { store, ...clients, policy: { ...POLICY, ...policy }, metrics, logger };
  }

  return {
    databaseUrl: database.url,
    store,
    users,
    billing,
    metrics,
    deps,
    startWorker(prefix, policy) {
      const worker = startDelivery({ ...deps(policy), redisAddress: { url: redisUrl(), clusterNodes: [] }, prefix });
      closers.push(worker.close);
      return worker;
    },
    async close() {
      for (const close of closers.reverse()) await close();
      await users.close();
      await billing.close();
      await store.close();
      await database.drop();
    },
  };
}

/** The rows of allocations that began and, if so, ended: an increment each, then a decrement each. @returns allocation ids */
export async function writeUsage(store: Store, allocations: number, ended = true): Promise<string[]> {
  const ids = Array.from({ length: allocations }, () => randomUUID());
  const operations = ended ? ['increment', 'decrement'] : ['increment'];
  const data = operations.flatMap((operation) =>
    ids.map((key) => ({
      channel: 'usage',
      topic: operation,
      key,
      payload: { userId: 'ann', deviceId: key, cpuCores: 2, memoryGB: 1.5, storageGB: 16, operation },
    })),
  );
  await store.prisma.outboxEntry.createMany({ data });
  return ids;
}

/** Outbox ids of all usage reports, in order. */
export async function usageIds(store: Store): Promise<string[]> {
  const rows = await store.prisma.outboxEntry.findMany({ where: { channel: 'usage' }, orderBy: { id: 'asc' }, select: { id: true } });
  return rows.map(({ id }) => String(id));
}

/** How many ledger rows are in each state. */
export async function ledgerStates(store: Store): Promise<Record<string, number>> {
  const rows = await store.prisma.ledgerEntry.groupBy({ by: ['status'], _count: true });
  return Object.fromEntries(rows.map(({ status, _count }) => [status, _count]));
}
