import { createErrandTally, type ErrandTally } from './errands/errand-tally.ts';
import type { PlannedRequest, WayName } from './planned-request.ts';
import { WAYS } from './planned-request.ts';

/** What one way in has seen. */
interface WayTally {
  sent: number;
  granted: number;
  refused: number;
  /** From sending to the first decision: granted, refused or "wait", ms. */
  readonly decisionMs: number[];
}

/** What a tenant has got. */
export interface TenantTally {
  requests: number;
  grants: number;
  readonly decisionMs: number[];
}

/** Everything the driver counts. */
export interface Tally {
  readonly ways: Readonly<Record<WayName, WayTally>>;
  readonly tenants: Map<string, TenantTally>;
  readonly refusals: Map<string, number>;
  readonly extendRefusals: Map<string, number>;
  readonly errands: ErrandTally;
  /** Waits of requests that got a device after all, ms. */
  readonly waitMs: number[];
  readonly releaseMs: number[];
  /** Allocations the callers were told of. */
  readonly allocations: Set<string>;
  /** Why requests came to no end: faults, not refusals. */
  readonly faults: string[];
  sent: number;
  ended: number;
  waited: number;
  waitingNow: number;
  heldNow: number;
  heldMost: number;
  released: number;
  extended: number;
  leftToExpire: number;
  heldOn: number;
  sentTwice: number;
  /** Repetitions that were given another allocation than the first: must stay 0. */
  differed: number;
  retries: number;
  /** Most a request was sent later than planned, ms: how well the driver itself kept up. */
  lateMost: number;
}

export function createTally(): Tally {
  const way = (): WayTally => ({ sent: 0, granted: 0, refused: 0, decisionMs: [] });
  return {
    ways: { http: way(), client: way() },
    tenants: new Map(),
    refusals: new Map(),
    extendRefusals: new Map(),
    errands: createErrandTally(),
    waitMs: [],
    releaseMs: [],
    allocations: new Set(),
    faults: [],
    sent: 0,
    ended: 0,
    waited: 0,
    waitingNow: 0,
    heldNow: 0,
    heldMost: 0,
    released: 0,
    extended: 0,
    leftToExpire: 0,
    heldOn: 0,
    sentTwice: 0,
    differed: 0,
    retries: 0,
    lateMost: 0,
  };
}

/** The count of a tenant, begun when it is first seen. */
export function tenantOf(tally: Tally, { tenantId }: PlannedRequest): TenantTally {
  const name = tenantId ?? 'no tenant';
  const known = tally.tenants.get(name) ?? { requests: 0, grants: 0, decisionMs: [] };
  tally.tenants.set(name, known);
  return known;
}

/** A sum over the ways in. */
export function overWays(tally: Tally, count: 'granted' | 'refused'): number {
  return WAYS.reduce((sum, way) => sum + tally.ways[way][count], 0);
}

/** The value a share (0..1) of the numbers does not exceed; undefined for none. */
export function percentile(numbers: readonly number[], share: number): number | undefined {
  return numbers.toSorted((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * share))];
}
