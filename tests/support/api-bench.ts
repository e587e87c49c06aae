import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { startApi } from '../../api/start-api.ts';
import { createProducer } from '../../queues/producer.ts';
import type { QuotaFact } from '../../shared/allocation/facts.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import type { RenewalRules } from '../../shared/renewal/decide-extend.ts';
import { RENEWAL_POLICIES } from '../../shared/renewal/policy.ts';
import { createLife, type OwnedLife } from '../../shared/run/life.ts';
import { closeRedis, createRedis, type RedisAddress, type RedisClient, whenReady } from '../../shared/run/redis.ts';
import { createStore, type Store } from '../../shared/store/store.ts';
import { startAllocation } from '../../workers/allocation/start-allocation.ts';
import { startExtending } from '../../workers/lifecycle/start-extending.ts';
import { startLifecycle } from '../../workers/lifecycle/start-lifecycle.ts';
import { startListener } from '../../workers/listener/start-listener.ts';
import { startWaitlist } from '../../workers/waitlist/start-waitlist.ts';
import { createTestDatabase } from './postgres.ts';
import { rabbitmqUrl } from './rabbitmq.ts';
import { createTestPrefix, redisUrl } from './redis.ts';

/** Key of user tokens in tests. */
export const USER_SECRET = 'the key of user tokens in these tests';
/** Key of service tokens in tests. */
export const SERVICE_SECRET = 'the key of service tokens in these tests';
/** The one service that is listed. */
export const SERVICE = 'gateway';

/** An answer with its body read. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of many shapes, and an absent field is what they test
  readonly body: any;
}

/** What to send. `as` is a token, or who to sign one for; left out: nobody. */
export interface Call {
  readonly as?: Record<string, string>;
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly raw?: string | Buffer | ReadableStream;
  readonly headers?: Record<string, string>;
}

/** A server under test. */
export interface ApiServer {
  readonly url: string;
  readonly metrics: Metrics;
  call(method: string, path: string, call?: Call): Promise<Answer>;
  close(): Promise<void>;
}

/** Settings of a server that tests change. */
export interface ServerChanges {
  readonly rateLimits?: { read?: number; write?: number; batch?: number; serviceFactor?: number };
  readonly production?: boolean;
  readonly redisUrl?: string;
  readonly redisAddress?: RedisAddress;
  readonly databaseUrl?: string;
  readonly rabbitmqUrl?: string;
  readonly maxWaitingJobs?: number;
  /** A corner of Redis of its own. */
  readonly prefix?: string;
  readonly availableCacheTtlS?: number;
  /** Gap around reservations, s. */
  readonly gapSeconds?: number;
}

/** A database, a corner of Redis, and as many API servers and workers as a test wants. */
export interface ApiBench {
  readonly databaseUrl: string;
  readonly store: Store;
  readonly redis: RedisClient;
  readonly prefix: string;
  start(changes?: ServerChanges): Promise<ApiServer>;
  /** Starts the workers that decide, release and look after devices that were changed. Quotas are what `quotas` says of a user, else ten devices. */
  startWorkers(quotas?: ReadonlyMap<string, QuotaFact>): Promise<void>;
  /** Writes running devices; they are alike. @returns their ids in order */
  addDevices(count: number, changes?: Readonly<Record<string, unknown>>): Promise<string[]>;
  close(): Promise<void>;
}

/** What extensions are decided by: the usual policies, and a billing-service that may be away. */
const RENEWAL: RenewalRules = { policies: RENEWAL_POLICIES, billingAllowOnError: true };

const logger = createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent');

/**
 * Opens a bench on a database of its own.
 *
 * @param through  turns the address of the database into the one that servers and workers use
 */
export async function openApiBench(through: (url: string) => string = (url) => url): Promise<ApiBench> {
  const life = createLife(logger);
  const database = await createTestDatabase();
  life.onClose('database', database.drop);
  const { prefix, clean } = createTestPrefix();
  life.onClose('keys', clean);
  const url = through(database.url);
  const store = openStore(url);
  life.onClose('store', store.close);
  const redisAddress = { url: redisUrl(), clusterNodes: [] };
  const redis = createRedis('cache', redisAddress, logger);
  life.onClose('redis', () => closeRedis(redis));
  await whenReady(redis, 30_000);

  return {
    databaseUrl: database.url,
    store,
    redis,
    prefix,
    start: (changes = {}) => startServer(life, url, prefix, changes),
    startWorkers: (quotas = new Map()) => startBoth(life, { store, redis, prefix }, quotas),
    addDevices: (count, changes = {}) => addDevices(store, count, changes),
    close: life.close,
  };
}

function openStore(databaseUrl: string): Store {
  return createStore({ databaseUrl, poolSize: 5, acquireTimeoutMs: 10_000, statementTimeoutMs: 20_000, applicationName: 'test' });
}

async function startServer(bench: OwnedLife, databaseUrl: string, prefix: string, changes: ServerChanges): Promise<ApiServer> {
  const life = createLife(logger);
  const metrics = createMetrics('api');
  const { port } = await startApi(life, {
    host: '127.0.0.1',
    port: 0,
    production: changes.production ?? false,
    trustProxy: false,
    tokens: { userSecret: USER_SECRET, serviceSecret: SERVICE_SECRET, allowedServices: [SERVICE] },
    rateLimits: { read: 1e6, write: 1e6, batch: 1e6, serviceFactor: 1, ...changes.rateLimits },
    prefix: changes.prefix ?? prefix,
    maxWaitingJobs: changes.maxWaitingJobs ?? 1_000,
    reservations: { gapSeconds: changes.gapSeconds ?? 0, horizonDays: 30 },
    renewal: RENEWAL,
    publicSettings: { PORT: 0 },
    store: {
      databaseUrl: changes.databaseUrl ?? databaseUrl,
      poolSize: 10,
      acquireTimeoutMs: 10_000,
      statementTimeoutMs: 20_000,
      applicationName: 'api',
    },
    redis: changes.redisAddress ?? { url: changes.redisUrl ?? redisUrl(), clusterNodes: [] },
    rabbitmqUrl: changes.rabbitmqUrl ?? rabbitmqUrl(),
    availableCacheTtlS: changes.availableCacheTtlS ?? 10,
    cleaningSeconds: 0,
    metrics,
    logger,
  });
  bench.onClose('server', life.close);
  const url = `http://127.0.0.1:${port}`;
  return { url, metrics, call: (method, path, call = {}) => send(url, method, path, call), close: life.close };
}

async function send(url: string, method: string, path: string, { as = {}, body, raw, headers = {} }: Call): Promise<Answer> {
  const json: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
  const content = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...json, ...as, ...headers },
    ...(content === undefined ? {} : { body: content, duplex: 'half' }),
  } as RequestInit);
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined };
}

async function startBoth(
  life: OwnedLife,
  { store, redis, prefix }: Pick<ApiBench, 'store' | 'redis' | 'prefix'>,
  quotas: ReadonlyMap<string, QuotaFact>,
): Promise<void> {
  const redisAddress = { url: redisUrl(), clusterNodes: [] };
  const shared = {
    store,
    redis,
    redisAddress,
    prefix,
    concurrency: 20,
    groupMax: 20,
    groupParallel: 2,
    metrics: createMetrics('test'),
    logger,
  };
  const queueRedis = createRedis('producer', redisAddress, logger);
  life.onClose('redis producer', () => closeRedis(queueRedis));
  await whenReady(queueRedis, 30_000);
  const producer = createProducer({ redis: queueRedis, prefix, maxWaitingJobs: 1_000, logger });
  life.onClose('producer', producer.close);
  const balance = { balanceOf: async () => ({ kind: 'allowed' as const, status: 'ok', balance: 100 }) };
  const deciding = {
    ...shared,
    quota: { quotaOf: async (userId: string) => quotas.get(userId) ?? quotaOf(10) },
    balance,
    outagePolicy: { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true },
    strategy: () => RESOURCE_BASED,
  };
  const allocation = startAllocation({ ...deciding, locks: true });
  life.onClose('allocation', allocation.close);
  const waitlist = startWaitlist(deciding);
  life.onClose('waitlist', waitlist.close);
  const lifecycle = startLifecycle({ ...shared, producer, cleaningSeconds: 0 });
  life.onClose('lifecycle', lifecycle.close);
  const extending = startExtending({ ...shared, balance, rules: RENEWAL });
  life.onClose('extending', extending.close);
  // What our own doors leave to it; events of other services are tested elsewhere.
  const listener = await startListener({
    ...shared,
    producer,
    forgetQuota: () => Promise.resolve(),
    forgetBalance: () => Promise.resolve(),
    ending: { cleaningSeconds: 0 },
    relocate: true,
    rules: { gapSeconds: 0 },
    paymentFailureThreshold: 3,
    broker: { url: '' },
  });
  life.onClose('listener', listener.close);
}

/** A quota of so many devices and no other limit. */
export function quotaOf(maxDevices: number): QuotaFact {
  const none = undefined;
  return {
    kind: 'known',
    stale: false,
    quota: {
      status: 'active',
      limits: {
        maxDevices,
        maxConcurrentDevices: none,
        maxCpuCoresPerDevice: none,
        maxMemoryMBPerDevice: none,
        maxStorageGBPerDevice: none,
        totalCpuCores: none,
        totalMemoryGB: none,
        totalStorageGB: none,
      },
      validFrom: null,
      validUntil: null,
    },
  };
}

async function addDevices(store: Store, count: number, changes: Readonly<Record<string, unknown>>): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID()).sort();
  const data = ids.map((id, index) => ({
    id,
    name: `device ${index}`,
    type: 'phone',
    status: 'running',
    providerType: 'redroid',
    cpuCores: 4,
    memoryMb: 4096,
    storageMb: 65_536,
    adbHost: '10.9.8.7',
    adbPort: 5555,
    ...changes,
  }));
  await store.prisma.device.createMany({ data });
  return ids;
}

/** Claims of a token; anything may be said, wrong things too. */
type Claims = Record<string, unknown>;

async function sign(claims: Claims, secret: string, audience: string): Promise<string> {
  return new SignJWT({ iss: 'cloudphone-platform', aud: audience, exp: Math.floor(Date.now() / 1_000) + 600, ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(Buffer.from(secret));
}

/** The header of a user token. */
export async function asUser(sub: string, claims: Claims = {}, secret = USER_SECRET): Promise<Record<string, string>> {
  return { authorization: `Bearer ${await sign({ sub, ...claims }, secret, 'cloudphone-users')}` };
}

/** The header of a service token. */
export async function asService(service: string = SERVICE, claims: Claims = {}, secret = SERVICE_SECRET): Promise<Record<string, string>> {
  return { 'x-service-token': await sign({ service, ...claims }, secret, 'internal-services') };
}
