import { randomUUID } from 'node:crypto';
import { type BillingServiceControl, startBillingService } from '../../dev/stand-ins/billing-service.ts';
import type { StandIn } from '../../dev/stand-ins/stand-in.ts';
import { startUserService, type UserServiceControl } from '../../dev/stand-ins/user-service.ts';
import { type CapacitySignal, createCapacitySignal } from '../../queues/capacity-signal.ts';
import type { NewAllocate } from '../../queues/jobs/allocate.ts';
import type { ExtendedItem, ExtendOutcome, ExtendPayload } from '../../queues/jobs/extend.ts';
import type { ReleaseOutcome } from '../../queues/jobs/release.ts';
import { createProducer, type Producer } from '../../queues/producer.ts';
import { type AskedAllocationInput, askedAllocation } from '../../shared/allocation/asked.ts';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { createBalanceClient } from '../../shared/clients/balance-client.ts';
import { type BalanceFacts, createBalanceFacts } from '../../shared/clients/balance-facts.ts';
import { createQuotaClient } from '../../shared/clients/quota-client.ts';
import { createQuotaFacts } from '../../shared/clients/quota-facts.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import type { RenewalRules } from '../../shared/renewal/decide-extend.ts';
import { RENEWAL_POLICIES } from '../../shared/renewal/policy.ts';
import { createOutcomeListener, type OutcomeListener } from '../../shared/run/completion.ts';
import { createLife, type Life } from '../../shared/run/life.ts';
import type { QueueWorker } from '../../shared/run/queue-worker.ts';
import { closeRedis, createRedis, type RedisAddress, type RedisClient, whenReady } from '../../shared/run/redis.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { somebodyWaits, unpark } from '../../shared/store/unpark.ts';
import { type AllocationDependencies, startAllocation } from '../../workers/allocation/start-allocation.ts';
import { type ExtendingDependencies, startExtending } from '../../workers/lifecycle/start-extending.ts';
import { type LifecycleDependencies, startLifecycle } from '../../workers/lifecycle/start-lifecycle.ts';
import { startWaitlist } from '../../workers/waitlist/start-waitlist.ts';
import { eventually } from './eventually.ts';
import { openCaller, SERVICE_SECRET } from './neighbours.ts';
import { createTestDatabase } from './postgres.ts';
import { createTestPrefix, redisUrl } from './redis.ts';

/** What extensions are decided by unless a test says otherwise. */
export const RENEWAL: RenewalRules = { policies: RENEWAL_POLICIES, billingAllowOnError: true };

/** Longest wait for an outcome on a busy machine, ms. */
const PATIENCE_MS = 25_000;

/** Neighbours that are merely slow because the machine is busy are no outage here; faults of theirs are tested elsewhere. */
const BUSY_MACHINE = { timeoutMs: 8_000, tuning: { leastCalls: 100_000 } };

/** The doors and workers of one test, wired like the processes, with a database and a corner of Redis of their own. */
export interface Wired {
  readonly store: Store;
  readonly redis: RedisClient;
  readonly producer: Producer;
  readonly prefix: string;
  readonly databaseUrl: string;
  readonly metrics: Metrics;
  readonly users: StandIn<UserServiceControl>;
  readonly billing: StandIn<BillingServiceControl>;
  readonly balance: BalanceFacts;
  /** Dependencies of an allocation worker, to start more of them with changes. */
  readonly allocation: AllocationDependencies;
  /** Dependencies of a worker that ends allocations. */
  readonly lifecycle: LifecycleDependencies;
  /** Asks for a device the way the API does and waits for the outcome. */
  allocate(userId: string, options?: AllocateOptions): Promise<AllocateOutcome>;
  release(named: { allocationId?: string; deviceId?: string; userId?: string; tenantId?: string; fence?: number }): Promise<ReleaseOutcome>;
  /** Asks for more time and waits for what becomes of it. */
  extend(payload: Partial<ExtendPayload> & Pick<ExtendPayload, 'allocationIds' | 'additionalMinutes'>): Promise<readonly ExtendedItem[]>;
  /** Reads the quotas and balances of users into the cache, a few at a time, so that a crowd of them may ask at once. */
  know(userIds: readonly string[]): Promise<void>;
  /** Resolves when the request is neither pending nor waiting. */
  untilDecided(requestId: string): Promise<void>;
  /** Starts another allocation worker; closed with the rest. */
  addAllocationWorker(changes?: Partial<AllocationDependencies>): void;
  /** Says that capacity has changed, for what a test changes by itself. */
  readonly capacity: CapacitySignal;
  /** Starts another waitlist worker; closed with the rest, or before. */
  addWaitlistWorker(): QueueWorker;
  close(): Promise<void>;
}

export interface AllocateOptions extends AskedAllocationInput {
  readonly requestId?: string;
  readonly tier?: NewAllocate['tier'];
  readonly tenantId?: string;
}

export interface WireOptions {
  /** Servers of the test's own, so that it may stop them; else a clean corner of the shared ones. */
  readonly databaseUrl?: string;
  readonly redisUrl?: string;
  /** The same, for a Redis that is more than one server. */
  readonly redisAddress?: RedisAddress;
  /** Allocation workers started at once; 1 unless said otherwise. */
  readonly allocationWorkers?: number;
  /** Waitlist workers started at once; 1 unless said otherwise. */
  readonly waitlistWorkers?: number;
  /** Whether a worker that ends and one that extends are started; so unless said otherwise. */
  readonly lifecycle?: boolean;
  readonly allocation?: Partial<AllocationDependencies>;
  readonly cleaningSeconds?: number;
  readonly rules?: ExtendingDependencies['rules'];
}

/** Opens everything one test needs; `close` leaves nothing behind. */
export async function wire(options: WireOptions = {}): Promise<Wired> {
  const logger = createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent');
  const life = createLife(logger);
  const metrics = createMetrics('test');
  const databaseUrl = options.databaseUrl ?? (await openDatabase(life));
  const corner = createTestPrefix();
  const redisAddress = options.redisAddress ?? { url: options.redisUrl ?? redisUrl(), clusterNodes: [] };
  if (redisAddress.url === redisUrl()) life.onClose('redis keys', corner.clean);
  const redis = createRedis('cache', redisAddress, logger);
  const queueRedis = createRedis('producer', redisAddress, logger);
  const subscriber = createRedis('subscriber', redisAddress, logger);
  for (const connection of [redis, queueRedis, subscriber]) life.onClose('redis', () => closeRedis(connection));
  await Promise.all([redis, queueRedis, subscriber].map((connection) => whenReady(connection, 30_000)));
  const store = createStore({
    databaseUrl,
    poolSize: 8,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 10_000,
    applicationName: 'test',
  });
  life.onClose('store', store.close);
  const users = await startUserService({ port: 0, secret: SERVICE_SECRET });
  life.onClose('user-service', users.close);
  const billing = await startBillingService({ port: 0, secret: SERVICE_SECRET });
  life.onClose('billing-service', billing.close);
  const userCaller = openCaller('user', users.url, BUSY_MACHINE);
  const billingCaller = openCaller('billing', billing.url, BUSY_MACHINE);
  life.onClose('callers', () => {
    userCaller.close();
    billingCaller.close();
  });
  const producer = createProducer({ redis: queueRedis, prefix: corner.prefix, maxWaitingJobs: 100_000, logger });
  life.onClose('producer', producer.close);
  const instance = `test-${randomUUID()}`;
  const outcomes = await createOutcomeListener(subscriber, corner.prefix, instance, logger);
  life.onClose('outcomes', outcomes.close);
  const shared = { redis, prefix: corner.prefix, metrics, logger };
  const balance = createBalanceFacts({ ...shared, client: createBalanceClient(billingCaller), ttlSeconds: 60 });
  const allocation: AllocationDependencies = {
    ...shared,
    store,
    redisAddress,
    quota: createQuotaFacts({ ...shared, client: createQuotaClient(userCaller), ttlSeconds: 60, lastKnownOnError: false }),
    balance,
    outagePolicy: { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true },
    strategy: () => RESOURCE_BASED,
    concurrency: 100,
    groupMax: 50,
    groupParallel: 2,
    locks: true,
    ...options.allocation,
  };
  const addAllocationWorker = (changes: Partial<AllocationDependencies> = {}) => {
    const worker = startAllocation({ ...allocation, ...changes });
    life.onClose('allocation worker', worker.close);
  };
  for (let started = 0; started < (options.allocationWorkers ?? 1); started += 1) addAllocationWorker();
  const addWaitlistWorker = () => {
    const { quota, balance, outagePolicy, strategy } = allocation;
    const worker = startWaitlist({ ...shared, store, redisAddress, quota, balance, outagePolicy, strategy });
    life.onClose('waitlist worker', worker.close);
    return worker;
  };
  for (let started = 0; started < (options.waitlistWorkers ?? 1); started += 1) addWaitlistWorker();
  const capacity = createCapacitySignal({
    redis: queueRedis,
    prefix: corner.prefix,
    waits: () => somebodyWaits(store),
    unpark: (users, allocations) => unpark(store, users, allocations),
    logger,
  });
  life.onClose('capacity signal', capacity.close);
  const lifecycle: LifecycleDependencies = {
    ...shared,
    store,
    redisAddress,
    producer,
    cleaningSeconds: options.cleaningSeconds ?? 0,
    concurrency: 50,
    groupMax: 50,
    groupParallel: 2,
  };
  if (options.lifecycle !== false) {
    life.onClose('lifecycle worker', startLifecycle(lifecycle).close);
    const { balance: answering } = allocation;
    const extending = startExtending({ ...lifecycle, balance: answering, rules: options.rules ?? RENEWAL });
    life.onClose('extend worker', extending.close);
  }
  return {
    store,
    redis,
    producer,
    prefix: corner.prefix,
    databaseUrl,
    metrics,
    users,
    billing,
    balance,
    allocation,
    lifecycle,
    allocate: (userId, wish = {}) => ask(producer, outcomes, instance, userId, wish),
    release: (named) => letGo(producer, outcomes, instance, named),
    extend: async (payload) => {
      const extendId = payload.extendId ?? randomUUID();
      const told = outcomes.wait(extendId, PATIENCE_MS);
      await producer.extend({ caller: 'test', reach: { kind: 'all' }, ...payload, extendId, replyTo: instance });
      return ((await orFail(told, `extension ${extendId}`)) as ExtendOutcome).items;
    },
    know: async (userIds) => {
      const context = { deadlineMs: PATIENCE_MS };
      for (let from = 0; from < userIds.length; from += 10) {
        const some = userIds.slice(from, from + 10);
        await Promise.all(some.flatMap((id) => [allocation.quota.quotaOf(id, context), allocation.balance.balanceOf(id, context)]));
      }
    },
    untilDecided: async (requestId) => {
      await eventually(async () => {
        const row = await store.prisma.request.findUniqueOrThrow({ where: { id: requestId } });
        if (row.decidedAt === null) throw new Error(`request ${requestId} is ${row.status}`);
      }, PATIENCE_MS);
    },
    addAllocationWorker,
    addWaitlistWorker,
    capacity,
    close: life.close,
  };
}

async function openDatabase(life: Life): Promise<string> {
  const database = await createTestDatabase();
  life.onClose('database', database.drop);
  return database.url;
}

async function ask(
  producer: Producer,
  outcomes: OutcomeListener,
  instance: string,
  userId: string,
  wish: AllocateOptions,
): Promise<AllocateOutcome> {
  const { requestId = randomUUID(), tier = 'standard', tenantId, ...asked } = wish;
  const told = outcomes.wait(requestId, PATIENCE_MS);
  await producer.allocate([
    {
      requestId,
      caller: 'test',
      source: 'client',
      userId,
      tenantId: tenantId ?? null,
      tier,
      asked: askedAllocation.parse(asked),
      replyTo: instance,
      acceptedAt: Date.now(),
    },
  ]);
  return (await orFail(told, `request ${requestId}`)) as AllocateOutcome;
}

async function letGo(
  producer: Producer,
  outcomes: OutcomeListener,
  instance: string,
  named: Parameters<Wired['release']>[0],
): Promise<ReleaseOutcome> {
  const releaseId = randomUUID();
  const told = outcomes.wait(releaseId, PATIENCE_MS);
  const { userId = null, tenantId = null, ...what } = named;
  await producer.release({ releaseId, caller: 'test', userId, tenantId, ...what, endReason: 'released', replyTo: instance });
  return (await orFail(told, `release ${releaseId}`)) as ReleaseOutcome;
}

async function orFail(told: Promise<unknown>, what: string): Promise<unknown> {
  const outcome = await told;
  if (outcome === undefined) throw new Error(`${what} got no outcome within ${PATIENCE_MS} ms`);
  return outcome;
}
