import type { CapacitySignal } from '../queues/capacity-signal.ts';
import type { Producer } from '../queues/producer.ts';
import type { Logger } from '../shared/logger.ts';
import type { Metrics } from '../shared/metrics.ts';
import type { RenewalRules } from '../shared/renewal/decide-extend.ts';
import type { OutcomeListener } from '../shared/run/completion.ts';
import type { RedisClient } from '../shared/run/redis.ts';
import type { Store } from '../shared/store/store.ts';
import type { TokenOptions } from './auth.ts';
import type { AvailableCache } from './available-cache.ts';
import type { Probes } from './probes.ts';
import type { RateLimits } from './rate-limit.ts';

/** Plain values the server goes by. Times in the unit of their name. */
export interface ServerOptions {
  readonly production: boolean;
  readonly trustProxy: boolean;
  readonly tokens: TokenOptions;
  readonly rateLimits: RateLimits;
  /** Prefix of every key in Redis. */
  readonly prefix: string;
  /** Waiting jobs above which new requests are refused. */
  readonly maxWaitingJobs: number;
  /** Gap kept free around reservations, s, and how far ahead recurring ones are booked, days. */
  readonly reservations: { readonly gapSeconds: number; readonly horizonDays: number };
  /** What extensions are told by; the workers decide by the same. */
  readonly renewal: RenewalRules;
  /** Settings an admin may read: never a secret. */
  readonly publicSettings: Readonly<Record<string, string | number | boolean>>;
}

/** Everything the server works with, wired by hand in `main.ts` and in tests. */
export interface ServerDeps {
  readonly store: Store;
  /** A connection that fails fast. */
  readonly redis: RedisClient;
  readonly producer: Producer;
  readonly outcomes: OutcomeListener;
  /** The name the outcome listener listens under. */
  readonly instance: string;
  /** Says that capacity has changed. */
  readonly capacity: CapacitySignal;
  readonly available: AvailableCache;
  /** Ends every due allocation. Returns how many. */
  readonly releaseExpired: () => Promise<number>;
  readonly probes: Probes;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly options: ServerOptions;
}
