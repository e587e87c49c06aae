/* What the server says, by the name of the part. Times are ISO 8601 unless said otherwise. */

export type FleetState = 'free' | 'held' | 'draining' | 'cleaning' | 'off' | 'maintenance' | 'error';
export type Counts = Readonly<Record<FleetState, number>>;
export type FleetGroup = Counts & { readonly region: string; readonly node: string };

export type FleetNow =
  | { readonly mode: 'cells'; readonly total: number; readonly counts: Counts; readonly layout: string; readonly cells: string }
  | { readonly mode: 'groups'; readonly total: number; readonly counts: Counts; readonly groups: readonly FleetGroup[] };

export interface FleetLayout {
  readonly id: string;
  readonly names: readonly string[];
  readonly groups: readonly { readonly region: string; readonly node: string; readonly from: number }[];
}

export interface LiveAllocation {
  readonly id: string;
  readonly deviceId: string;
  readonly deviceName: string;
  readonly userId: string;
  readonly tier: string;
  readonly allocatedAt: string;
  readonly expiresAt: string;
}

export interface WaitingTier {
  readonly tier: string;
  readonly count: number;
  readonly parked: number;
  readonly oldestS: number;
  readonly medianS: number;
  readonly nextStart: string | null;
  readonly lastStart: string | null;
}

/** `at` in ms since 1970; waits in ms. */
export interface Minute {
  readonly at: number;
  readonly granted: number;
  readonly refused: number;
  readonly released: number;
  readonly expired: number;
  readonly p50: number | null;
  readonly p95: number | null;
}

export interface Hour {
  readonly hour: string;
  readonly granted: number;
  readonly refused: number;
  readonly released: number;
  readonly expired: number;
  readonly waitP50Ms: number | null;
  readonly waitP95Ms: number | null;
  readonly liveAllocations: number;
  readonly waitingRequests: number;
}

export interface QueueNow {
  readonly name: string;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
  readonly completed: number;
  readonly paused: boolean;
}

export interface Job {
  readonly name: string;
  readonly recurrence: { readonly everyMs: number } | { readonly cron: string; readonly tz: string };
  readonly lastRunAt: string | null;
  readonly nextRunAt?: string;
  readonly lastDurationMs: number | null;
  readonly lastResult: unknown;
  readonly lastError: string | null;
  readonly paused: boolean;
  readonly running: boolean;
}

export type Breaker = 'closed' | 'half-open' | 'open' | 'unknown';

export interface Health {
  readonly neighbours: Readonly<Record<string, Breaker>>;
  readonly caches: readonly { readonly cache: string; readonly hits: number; readonly misses: number }[];
}

export interface DeadLetter {
  readonly id: string;
  readonly kind: string;
  readonly allocationId: string | null;
  readonly userId: string | null;
  readonly attempts: number;
  readonly lastError: string | null;
  readonly reason: string;
  readonly createdAt: string;
}

export interface NextReservation {
  readonly id: string;
  readonly userId: string;
  readonly status: string;
  readonly deviceName: string | null;
  readonly startsAt: string;
  readonly endsAt: string;
}

export interface Strategy {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly description: string | null;
  readonly active: boolean;
}

export interface Change {
  readonly id: string;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly status: number | null;
}

/** Everything that is streamed. */
export interface Parts {
  readonly fleet: FleetNow;
  readonly live: { readonly count: number; readonly ending: readonly LiveAllocation[] };
  readonly waiting: readonly WaitingTier[];
  readonly minutes: readonly Minute[];
  readonly history: readonly Hour[];
  readonly queues: readonly QueueNow[];
  readonly jobs: readonly Job[];
  readonly health: Health;
  readonly dead: { readonly total: number; readonly items: readonly DeadLetter[] };
  readonly reservations: readonly NextReservation[];
  readonly strategies: readonly Strategy[];
  readonly changes: readonly Change[];
}

export type PartName = keyof Parts;
