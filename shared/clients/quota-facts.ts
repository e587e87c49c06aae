import type { Cluster, Redis } from 'ioredis';
import type { QuotaFact } from '../allocation/facts.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { type BatchReader, createBatchReader } from './batch-reader.ts';
import { createCached } from './cached.ts';
import { failureTtlMs } from './failure-ttl.ts';
import { type CallContext, NEIGHBOURS } from './neighbour.ts';
import type { FetchedQuota, QuotaClient } from './quota-client.ts';

export interface QuotaFactsDeps {
  readonly redis: Redis | Cluster;
  /** Start of every key, for example `{scheduler}`. */
  readonly prefix: string;
  readonly client: QuotaClient;
  /** Life of a cached quota, seconds. */
  readonly ttlSeconds: number;
  /** On an outage answer with the last known quota, marked `stale`. Off: `unavailable`, so that nobody passes by mistake. */
  readonly lastKnownOnError: boolean;
  readonly metrics: Pick<Metrics, 'neighbourCache'>;
  readonly logger: Logger;
  /** Shared with other facts, one read of Redis brings both. */
  readonly reader?: BatchReader;
}

/** What the user-service says of a user, one call per user and life of the cache over all processes. */
export interface QuotaFacts {
  /** Never rejects: an outage is a fact. A hit costs a share of one `MGET`. */
  quotaOf(userId: string, context: CallContext): Promise<QuotaFact>;
  /** To be called when the quota is known to have changed. Rejects with QUEUE_UNAVAILABLE if Redis is away. */
  forget(userId: string): Promise<void>;
}

const KEEP_MS = 24 * 3_600_000;

export function createQuotaFacts(deps: QuotaFactsDeps): QuotaFacts {
  const cached = createCached<FetchedQuota>({
    ...deps,
    reader: deps.reader ?? createBatchReader(deps.redis),
    name: 'quota',
    ttlMs: (quota) => (quota.kind === 'unavailable' ? failureTtlMs(quota.retryAfterMs) : deps.ttlSeconds * 1000),
    keepMs: (quota) => (quota.kind === 'known' && deps.lastKnownOnError ? KEEP_MS : 0),
    fetchMs: NEIGHBOURS.user.timeoutMs + 1_000,
    decode: decodeQuota,
  });

  async function onOutage(userId: string, reason: string): Promise<QuotaFact> {
    const last = deps.lastKnownOnError ? await cached.lastKnown(userId) : undefined;
    return last?.kind === 'known' ? { kind: 'known', quota: last.quota, stale: true } : { kind: 'unavailable', reason };
  }

  return {
    async quotaOf(userId, context) {
      const quota = await cached.read(userId, context.deadlineMs, (leftMs) =>
        deps.client.fetchQuota(userId, { ...context, deadlineMs: leftMs }),
      );
      if (quota === undefined) return onOutage(userId, 'no answer of user-service in time');
      if (quota.kind === 'unavailable') return onOutage(userId, quota.reason);
      return quota.kind === 'known' ? { kind: 'known', quota: quota.quota, stale: false } : quota;
    },
    // What was known before must not come back on an outage either: whoever was given less would keep more.
    forget: (userId) => cached.forget(userId, true),
  };
}

/** What we wrote was checked when it came; here it only has to be ours. */
function decodeQuota(text: string): FetchedQuota | undefined {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || !('kind' in value)) return undefined;
  if (value.kind === 'known')
    return 'quota' in value && isObject(value.quota) && 'limits' in value.quota && isObject(value.quota.limits)
      ? (value as FetchedQuota)
      : undefined;
  return value.kind === 'none' || (value.kind === 'unavailable' && 'reason' in value) ? (value as FetchedQuota) : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
