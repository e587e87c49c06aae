import type { Cluster, Redis } from 'ioredis';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { createBalanceClient } from './balance-client.ts';
import { type BalanceFacts, createBalanceFacts } from './balance-facts.ts';
import { createBreakerBoard } from './breaker-board.ts';
import { createHttpCaller } from './http-caller.ts';
import { NEIGHBOURS } from './neighbour.ts';
import { createServiceToken } from './service-token.ts';

export interface OpenBalanceOptions {
  /** Address of the billing-service. */
  readonly baseUrl: string;
  /** Key of service tokens. */
  readonly secret: string;
  readonly redis: Redis | Cluster;
  /** Start of every key in Redis. */
  readonly prefix: string;
  /** Life of a cached balance, s. */
  readonly ttlSeconds: number;
  /** On an outage go by the last known balance, see `createBalanceFacts`. */
  readonly lastKnownOnError: boolean;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** Balances, behind a breaker of this process and a cache that all processes share. */
export function openBalance(options: OpenBalanceOptions): BalanceFacts & { close(): void } {
  const { baseUrl, metrics, logger } = options;
  const token = createServiceToken(options.secret);
  const onBreaker = createBreakerBoard(options.redis, options.prefix, logger);
  const caller = createHttpCaller({ neighbour: { ...NEIGHBOURS.billing, baseUrl }, token, logger, metrics, onBreaker });
  return { ...createBalanceFacts({ ...options, client: createBalanceClient(caller) }), close: caller.close };
}
