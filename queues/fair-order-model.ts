/**
 * The order in which waiting allocation requests are served, as arithmetic.
 *
 * BullMQ serves the smallest priority first and keeps the order of arrival among equals. Strict priorities by tier would
 * starve the low tiers, and one tenant's flood would go before everybody who comes later. So each request gets a tag by
 * start-time fair queueing (Goyal, Vin, Cheng 1996), and the tag is its priority:
 *
 *   start  = max(v, finish of its flow)          a flow is a tenant at a level; without a tenant, the user
 *   finish = start + 1                           and lower levels of the tenant are charged as well
 *   tag    = ⌊start⌋ + HEAD · (3 − level) + 1    a higher level starts HEAD steps ahead
 *
 * v, the virtual time, is the latest start that was taken, and ages by AGEING with every request taken. What follows:
 *
 * - Within a flow requests are served in the order they came.
 * - Two tenants of one level that both have requests waiting are served in turn, whatever the length of their queues.
 * - A tenant's requests of a higher level go before its lower ones while fewer than HEAD of them wait per level between;
 *   past that the lower ones get turns too.
 * - Nobody starves: once (s − v + HEAD · levels between) / AGEING requests have been taken after a request with start s
 *   came at virtual time v, no later one goes before it, even if each is of a new tenant and of the highest level. With
 *   the numbers below that is 16 384 per level, a few seconds of full load; what waits before it by then is finite.
 *
 * AGEING is small because it also moves v ahead of the starts of many tenants that are served in turn: with more than
 * 1 / AGEING tenants waiting at once, newcomers drift towards the order of arrival. That is the price of the last point.
 *
 * `fair-order-script.ts` is the same in Lua; a test holds both equal.
 */

/** Steps a level is ahead of the next lower one. */
export const HEAD = 256;

/** What every taken request adds to the virtual time. A power of two, so that sums are exact. */
export const AGEING = 1 / 64;

/** Highest level; the lowest is 0. */
export const TOP_LEVEL = 3;

/** BullMQ's largest priority, 2²¹ − 1. */
export const MAX_TAG = 2_097_151;

/** Virtual times from which tags are moved back to the start of their range, once only few requests wait. */
export const REBASE_AT = 1_000_000;

/** "Few": rescoring this many takes Redis about 5 ms. */
export const REBASE_FEW = 1_000;

/** Finishes remembered before those that no longer matter are dropped. */
export const PRUNE_AT = 10_000;

/** Width of one era in a `fairStart`: era · ERA_WIDTH + start. After tags were moved back, older starts mean nothing. */
export const ERA_WIDTH = 2 ** 22;

/** Priority levels of `TIER_PRIORITY`. */
export type Level = 0 | 1 | 2 | 3;

/** Who asks, for the fair order. */
export interface FairRequest {
  readonly flow: string;
  readonly level: Level;
}

/** A request's place. */
export interface Place {
  /** 1..MAX_TAG, the job's priority. */
  readonly tag: number;
  /** What the worker reports when it has taken the job. */
  readonly fairStart: number;
}

/** The state of the order: what Redis keeps, in memory. */
export interface FairModel {
  /** Places requests in the order given. */
  place(requests: readonly FairRequest[]): Place[];
  /** Says that `count` requests were taken, the latest of them with `fairStart`. */
  advance(fairStart: number, count: number): void;
  virtualTime(): number;
}

/** The two numbers of the arithmetic; tests take smaller ones. */
export interface FairNumbers {
  readonly head: number;
  readonly ageing: number;
}

/** The arithmetic without Redis, rebase left out: for proofs and comparisons. */
export function createFairModel({ head, ageing }: FairNumbers = { head: HEAD, ageing: AGEING }): FairModel {
  let virtual = 0;
  const finishes = new Map<string, number[]>();

  function placeOne({ flow, level }: FairRequest): Place {
    const finish = finishes.get(flow) ?? [0, 0, 0, 0];
    const start = Math.max(virtual, finish[level] ?? 0);
    finish[level] = start + 1;
    for (let lower = 0; lower < level; lower++) finish[lower] = Math.max(virtual, finish[lower] ?? 0) + 1;
    finishes.set(flow, finish);
    return { tag: Math.min(MAX_TAG, Math.floor(start) + head * (TOP_LEVEL - level) + 1), fairStart: start };
  }

  return {
    place: (requests) => requests.map(placeOne),
    advance: (fairStart, count) => {
      virtual = Math.max(virtual, fairStart % ERA_WIDTH) + ageing * count;
    },
    virtualTime: () => virtual,
  };
}
