import type { Cluster, Redis } from 'ioredis';
import type { BalanceFact } from '../allocation/facts.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import type { BalanceClient, FetchedBalance } from './balance-client.ts';
import { type BatchReader, createBatchReader } from './batch-reader.ts';
import { createCached } from './cached.ts';
import { failureTtlMs } from './failure-ttl.ts';
import { type CallContext, NEIGHBOURS } from './neighbour.ts';

export interface BalanceFactsDeps {
  readonly redis: Redis | Cluster;
  /** Start of every key, for example `{scheduler}`. */
  readonly prefix: string;
  readonly client: BalanceClient;
  /** Life of a cached balance, seconds. */
  readonly ttlSeconds: number;
  /**
   * On an outage answer with the last known balance, up to five minutes old and marked `stale`. Only where an outage lets
   * everybody through: then it keeps out who had nothing. Off: `unavailable`.
   */
  readonly lastKnownOnError?: boolean;
  readonly metrics: Pick<Metrics, 'neighbourCache'>;
  readonly logger: Logger;
  /** Shared with other facts, one read of Redis brings both. */
  readonly reader?: BatchReader;
}

/** What the billing-service says of a user's balance, one call per user and life of the cache over all processes. */
export interface BalanceFacts {
  /** Never rejects: an outage is a fact. */
  balanceOf(userId: string, context: CallContext): Promise<BalanceFact>;
  /** To be called when the balance is known to have changed. Rejects with QUEUE_UNAVAILABLE if Redis is away. */
  forget(userId: string): Promise<void>;
}

/** The bound of what is served stale, ms. */
const KEEP_MS = 5 * 60_000;

export function createBalanceFacts(deps: BalanceFactsDeps): BalanceFacts {
  const cached = createCached<FetchedBalance>({
    ...deps,
    reader: deps.reader ?? createBatchReader(deps.redis),
    name: 'balance',
    ttlMs: (balance) => (balance.kind === 'unavailable' ? failureTtlMs(balance.retryAfterMs) : deps.ttlSeconds * 1000),
    keepMs: (balance) => (balance.kind !== 'unavailable' && deps.lastKnownOnError === true ? KEEP_MS : 0),
    fetchMs: NEIGHBOURS.billing.timeoutMs + 1_000,
    decode: decodeBalance,
  });
  async function onOutage(userId: string, reason: string): Promise<BalanceFact> {
    const last = deps.lastKnownOnError === true ? await cached.lastKnown(userId) : undefined;
    return last === undefined || last.kind === 'unavailable' ? { kind: 'unavailable', reason } : { ...last, stale: true };
  }

  return {
    async balanceOf(userId, context) {
      const balance = await cached.read(userId, context.deadlineMs, (leftMs) =>
        deps.client.fetchBalance(userId, { ...context, deadlineMs: leftMs }),
      );
      if (balance === undefined) return onOutage(userId, 'no answer of billing-service in time');
      return balance.kind === 'unavailable' ? onOutage(userId, balance.reason) : balance;
    },
    // What was known before must not come back on an outage either: whoever has paid would be refused.
    forget: (userId) => cached.forget(userId, true),
  };
}

/** What we wrote was checked when it came; here it only has to be ours. */
function decodeBalance(text: string): FetchedBalance | undefined {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || !('kind' in value)) return undefined;
  if (value.kind === 'unavailable') return 'reason' in value ? (value as FetchedBalance) : undefined;
  return (value.kind === 'allowed' || value.kind === 'refused') && 'status' in value && 'balance' in value
    ? (value as FetchedBalance)
    : undefined;
}
