import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { createBalanceClient } from './balance-client.ts';
import { type BalanceFacts, createBalanceFacts } from './balance-facts.ts';
import { createBatchReader } from './batch-reader.ts';
import { createBreakerBoard } from './breaker-board.ts';
import { createHttpCaller } from './http-caller.ts';
import { NEIGHBOURS } from './neighbour.ts';
import { createQuotaClient } from './quota-client.ts';
import { createQuotaFacts, type QuotaFacts } from './quota-facts.ts';
import { createServiceToken } from './service-token.ts';

/** Where the neighbours are and how long their words hold, in s. */
export interface FactSettings {
  readonly redis: Parameters<typeof createBatchReader>[0];
  readonly prefix: string;
  readonly serviceSecret: string;
  readonly userServiceUrl: string;
  readonly billingServiceUrl: string;
  readonly quotaTtlSeconds: number;
  readonly balanceTtlSeconds: number;
  readonly lastKnownOnError: boolean;
  /** The same for balances. */
  readonly lastBalanceOnError: boolean;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** Quota and balance, each behind its breaker and a cache all processes share. */
export function openFacts(settings: FactSettings): { readonly quota: QuotaFacts; readonly balance: BalanceFacts; close(): void } {
  const { redis, prefix, metrics, logger } = settings;
  const token = createServiceToken(settings.serviceSecret);
  const onBreaker = createBreakerBoard(redis, prefix, logger);
  const callerOf = (neighbour: (typeof NEIGHBOURS)[keyof typeof NEIGHBOURS], baseUrl: string) =>
    createHttpCaller({ neighbour: { ...neighbour, baseUrl }, token, logger, metrics, onBreaker });
  const userService = callerOf(NEIGHBOURS.user, settings.userServiceUrl);
  const billingService = callerOf(NEIGHBOURS.billing, settings.billingServiceUrl);
  const shared = { redis, prefix, reader: createBatchReader(redis), metrics, logger };
  return {
    quota: createQuotaFacts({
      ...shared,
      client: createQuotaClient(userService),
      ttlSeconds: settings.quotaTtlSeconds,
      lastKnownOnError: settings.lastKnownOnError,
    }),
    balance: createBalanceFacts({
      ...shared,
      client: createBalanceClient(billingService),
      ttlSeconds: settings.balanceTtlSeconds,
      lastKnownOnError: settings.lastBalanceOnError,
    }),
    close: () => {
      userService.close();
      billingService.close();
    },
  };
}
