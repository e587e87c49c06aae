import { Cluster, Redis } from 'ioredis';
import { messageOf, SchedulerError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Life } from './life.ts';

/** A connection to Redis or Valkey: standalone, behind Sentinels, or a cluster. */
export type RedisClient = Redis | Cluster;

/** Sentinels ("host:port"), what they call the primary, and their own password; empty: they ask for none. */
export interface RedisSentinels {
  readonly nodes: readonly string[];
  readonly name: string;
  readonly password: string;
}

/**
 * Where Redis is. With `clusterNodes` ("host:port") the URL gives only credentials and TLS; with `sentinels` these and the
 * number of the database.
 */
export interface RedisAddress {
  readonly url: string;
  readonly clusterNodes: readonly string[];
  readonly sentinels?: RedisSentinels | undefined;
}

/**
 * What a connection is for decides how it behaves while Redis is away:
 * `producer` and `cache` fail within 2 s so that a caller gets an answer; `worker` and `subscriber` wait for as long as it
 * takes. A `commandTimeout` on a worker's connection would end its consumption, so it has none.
 */
export type RedisKind = 'producer' | 'worker' | 'subscriber' | 'cache';

const COMMAND_TIMEOUT_MS = 2_000;
const RETRY_MAX_MS = 2_000;

/** What a connection says about itself; a `Logger` fits. */
export interface ConnectionLog {
  warn(details: object, message: string): void;
  info(details: object, message: string): void;
}

interface Behaviour {
  readonly maxRetriesPerRequest: number | null;
  readonly enableOfflineQueue?: boolean;
  readonly commandTimeout?: number;
  readonly enableAutoPipelining?: boolean;
  readonly autoPipeliningIgnoredCommands?: string[];
}

const FAIL_FAST: Behaviour = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: COMMAND_TIMEOUT_MS };
const PATIENT: Behaviour = { maxRetriesPerRequest: null };
/** Jobs that end in the same turn share one write: a fifth less work in Node for each. What blocks must not be waited for by the rest. */
const WORKER: Behaviour = { ...PATIENT, enableAutoPipelining: true, autoPipeliningIgnoredCommands: ['bzpopmin'] };

const BEHAVIOUR: Readonly<Record<RedisKind, Behaviour>> = {
  producer: FAIL_FAST,
  cache: { ...FAIL_FAST, enableAutoPipelining: true },
  worker: WORKER,
  subscriber: PATIENT,
};

/**
 * Opens a connection; it is usable once ready (`whenReady`). No `keyPrefix`: BullMQ refuses it, and keys carry a hash tag instead.
 *
 * @returns at once; connection problems are logged when they begin and when they end, and commands report them
 */
export function createRedis(kind: RedisKind, address: RedisAddress, logger: ConnectionLog): RedisClient {
  const options = {
    ...BEHAVIOUR[kind],
    connectionName: `scheduler-${kind}`,
    reconnectOnError: (error: Error) => reconnectAdvice(kind, error),
  };
  const redis =
    address.clusterNodes.length === 0
      ? new Redis(address.url, { ...options, retryStrategy, ...throughSentinels(address) })
      : createCluster(address, options);
  logStateChanges(redis, kind, logger);
  return redis;
}

function createCluster(
  address: RedisAddress,
  {
    enableOfflineQueue = true,
    enableAutoPipelining = false,
    autoPipeliningIgnoredCommands = [],
    ...ofNodes
  }: Behaviour & { connectionName: string },
): Cluster {
  const { username, password, protocol } = new URL(address.url);
  return new Cluster(address.clusterNodes.map(hostAndPort), {
    clusterRetryStrategy: retryStrategy,
    enableOfflineQueue,
    enableAutoPipelining,
    autoPipeliningIgnoredCommands,
    redisOptions: {
      ...ofNodes,
      ...(username === '' ? {} : { username: decodeURIComponent(username) }),
      ...(password === '' ? {} : { password: decodeURIComponent(password) }),
      ...(protocol === 'rediss:' ? { tls: {} } : {}),
    },
  });
}

/** A dead machine often has a Sentinel on it too: each connection asks the next one after this long, ms. */
const SENTINEL_PATIENCE_MS = 2_000;

/**
 * What makes a connection ask Sentinels where the primary is, each time it connects. It also listens to them: a primary
 * that froze or lost its network never closes a connection, so the news of another one has to.
 */
function throughSentinels({ url, sentinels }: RedisAddress) {
  if (sentinels === undefined) return {};
  const { nodes, name, password } = sentinels;
  return {
    sentinels: nodes.map(hostAndPort),
    name,
    failoverDetector: true,
    sentinelRetryStrategy: retryStrategy,
    sentinelReconnectStrategy: retryStrategy,
    sentinelCommandTimeout: SENTINEL_PATIENCE_MS,
    connectTimeout: SENTINEL_PATIENCE_MS,
    ...(password === '' ? {} : { sentinelPassword: password }),
    ...(new URL(url).protocol === 'rediss:' ? { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
  };
}

function hostAndPort(node: string): { host: string; port: number } {
  const separator = node.lastIndexOf(':');
  return { host: node.slice(0, separator).replace(/^\[|\]$/g, ''), port: Number(node.slice(separator + 1)) };
}

/** 50 ms, doubling to 2 s, with jitter so that a restarted Redis is not met by everybody at once. */
function retryStrategy(times: number): number {
  return Math.min(50 * 2 ** Math.min(times - 1, 10), RETRY_MAX_MS) * (0.75 + Math.random() / 2);
}

/** After a fail-over the old primary answers READONLY: reconnect, and let a worker's command be sent again (2). */
function reconnectAdvice(kind: RedisKind, error: Error): false | 1 | 2 {
  if (!/READONLY|LOADING/.test(error.message)) return false;
  return kind === 'worker' ? 2 : 1;
}

function logStateChanges(redis: RedisClient, kind: RedisKind, logger: ConnectionLog): void {
  let failing = false;
  redis.on('error', (error: unknown) => {
    if (!failing) logger.warn({ err: error, redis: kind }, 'redis connection failed');
    failing = true;
  });
  redis.on('ready', () => {
    if (failing) logger.info({ redis: kind }, 'redis connection is back');
    failing = false;
  });
}

/** One look-out for each connection that is not there yet, however many wait for it. */
const settling = new WeakMap<RedisClient, Promise<'ready' | 'end'>>();

function untilSettled(redis: RedisClient): Promise<'ready' | 'end'> {
  const known = settling.get(redis);
  if (known !== undefined) return known;
  const settled = new Promise<'ready' | 'end'>((resolve) => {
    const finish = (how: 'ready' | 'end') => () => {
      settling.delete(redis);
      redis.off('ready', ready);
      redis.off('end', ended);
      resolve(how);
    };
    const ready = finish('ready');
    const ended = finish('end');
    redis.on('ready', ready);
    redis.on('end', ended);
  });
  settling.set(redis, settled);
  return settled;
}

function withinTime<T>(work: Promise<T>, timeoutMs: number): Promise<T | 'late'> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, timeoutMs, 'late');
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Resolves when the connection can be used. Throws QUEUE_UNAVAILABLE after `timeoutMs`, or when it is closed meanwhile. */
export async function whenReady(redis: RedisClient, timeoutMs: number): Promise<void> {
  if (redis.status === 'ready') return;
  const how = redis.status === 'end' ? 'end' : await withinTime(untilSettled(redis), timeoutMs);
  if (how === 'ready') return;
  const message = how === 'end' ? 'The connection to Redis is closed.' : `Redis was not ready within ${Math.round(timeoutMs)} ms.`;
  throw new SchedulerError('QUEUE_UNAVAILABLE', { messages: [message] });
}

/**
 * Refuses a Redis that may evict: under any other policy than `noeviction` jobs lose their data and count as completed.
 *
 * @throws SchedulerError QUEUE_UNAVAILABLE when the policy is another one or cannot be read
 */
export async function assertNoEviction(redis: RedisClient): Promise<void> {
  const nodes = redis instanceof Cluster ? redis.nodes('master') : [redis];
  for (const policy of await Promise.all(nodes.map(evictionPolicy))) {
    if (policy === 'noeviction') continue;
    throw new SchedulerError('QUEUE_UNAVAILABLE', {
      messages: [`Redis has maxmemory-policy ${policy}; jobs could lose their data. Set it to noeviction.`],
    });
  }
}

async function evictionPolicy(redis: Redis): Promise<string> {
  try {
    return /maxmemory_policy:(\S+)/.exec(await redis.info('memory'))?.[1] ?? 'unknown';
  } catch (error) {
    throw new SchedulerError('QUEUE_UNAVAILABLE', { messages: [`Redis cannot be asked: ${messageOf(error)}`], cause: error });
  }
}

/** Share of `maxmemory` in use, 0..1; 0 without a limit. In a cluster the fullest primary counts. */
export async function memoryUse(redis: RedisClient): Promise<number> {
  const nodes = redis instanceof Cluster ? redis.nodes('master') : [redis];
  return Math.max(0, ...(await Promise.all(nodes.map(memoryUseOf))));
}

async function memoryUseOf(redis: Redis): Promise<number> {
  const info = await redis.info('memory');
  const used = Number(/used_memory:(\d+)/.exec(info)?.[1] ?? 0);
  const limit = Number(/maxmemory:(\d+)/.exec(info)?.[1] ?? 0);
  return limit === 0 ? 0 : used / limit;
}

/** How long a process waits at its start for a Redis that is not there yet, ms. */
const START_PATIENCE_MS = 30_000;

/**
 * Opens a connection for the life of a process, ready to use.
 *
 * @throws SchedulerError QUEUE_UNAVAILABLE when Redis is not there within 30 s or may evict
 */
export async function openRedis(life: Life, kind: RedisKind, address: RedisAddress, logger: Logger): Promise<RedisClient> {
  const redis = createRedis(kind, address, logger);
  life.onClose(`redis ${kind}`, () => closeRedis(redis));
  await whenReady(redis, START_PATIENCE_MS);
  await assertNoEviction(redis);
  return redis;
}

/** Closes without waiting for a Redis that does not answer. */
export function closeRedis(redis: RedisClient): void {
  if (redis.status !== 'end') redis.disconnect();
}
