import type { ErrorCode, ErrorDetails } from '../errors.ts';
import type { Limits, Use } from '../quota/limits.ts';
import type { Quota } from '../quota/quota.ts';
import type { AskedAllocation } from './asked.ts';
import type { Tier } from './tier.ts';

/** What is asked, by whom, on whose behalf. */
export interface AllocationRequest {
  readonly requestId: string;
  readonly caller: string;
  readonly source: 'http' | 'client' | 'event' | 'reservation';
  readonly userId: string;
  readonly tenantId: string | null;
  readonly tier: Tier;
  readonly asked: AskedAllocation;
  readonly traceId: string | undefined;
}

/** What the quota service says of a user; its outage is a fact like any other. */
export type QuotaFact =
  | { readonly kind: 'known'; readonly quota: Quota; readonly stale: boolean }
  | { readonly kind: 'none' }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** What the billing service says of a user's balance. */
export type BalanceFact =
  /** `stale`: not what billing says now, but what it said last. */
  | { readonly kind: 'allowed' | 'refused'; readonly status: string; readonly balance: string | number; readonly stale?: boolean }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** A request with what was gathered for it outside the transaction. */
export interface GatheredRequest {
  readonly request: AllocationRequest;
  readonly quota: QuotaFact;
  readonly balance: BalanceFact;
  /** Who waits for the outcome, should the request begin to wait: told when it ends. */
  readonly replyTo?: string | undefined;
}

/** The row of a request that exists already. */
export interface ExistingRequest {
  readonly status: 'pending' | 'waiting' | 'granted' | 'refused' | 'cancelled' | 'timed_out';
  readonly code: ErrorCode | null;
  readonly details: ErrorDetails | null;
  readonly deadline: Date | null;
  /** Since when it waits; nothing if it never did. */
  readonly waitingSince?: Date | null;
}

/** What our own database knows of a user, read under the user's lock. */
export interface UserFacts {
  readonly state: 'active' | 'suspended' | 'deleted';
  readonly inArrears: boolean;
  readonly lastKnownLimits: Limits | null;
  readonly use: Use;
  readonly lastDeviceId: string | null;
  /** Where that device runs; read only for a strategy that looks at it. */
  readonly lastRegion?: string | null;
  /** What the whole terms of the live allocations cost; read only where balances must cover whole terms. */
  readonly committed?: number;
}

/** What to do when a neighbour is away. */
export interface OutagePolicy {
  readonly quotaAllowOnError: boolean;
  readonly fallbackMaxDevices: number;
  readonly billingAllowOnError: boolean;
  /** Grant only what the balance covers for the whole term. Left out: no. */
  readonly reserveFullTerm?: boolean;
}
