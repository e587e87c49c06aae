import type { z } from 'zod';
import type { BreakerTuning } from './breaker.ts';
import type { CallContext } from './neighbour.ts';

/** How a caller behaves beyond the neighbour's own row. The defaults are meant for production; tests shorten them. Times in ms. */
export interface CallerTuning extends Omit<BreakerTuning, 'hangMs'> {
  readonly maxConcurrent: number;
  readonly maxResponseBytes: number;
  readonly retryBaseMs: number;
  readonly retryMaxMs: number;
  /** A longer `Retry-After` ends the call instead of being waited for. */
  readonly retryAfterCapMs: number;
  readonly retryBudget: number;
  readonly retryBudgetPerCall: number;
}

export const CALLER_DEFAULTS: CallerTuning = {
  openAtPercent: 50,
  leastCalls: 10,
  windowMs: 10_000,
  openMs: 30_000,
  maxConcurrent: 32,
  maxResponseBytes: 256 * 1024,
  retryBaseMs: 100,
  retryMaxMs: 1_500,
  retryAfterCapMs: 3_000,
  retryBudget: 20,
  retryBudgetPerCall: 0.2,
};

/** One call. */
export interface Call<T> extends CallContext {
  readonly method: 'GET' | 'POST';
  /** Parts of the path, encoded here; a part that would climb out of the path is answered 404 without a call. */
  readonly path: readonly string[];
  readonly body?: unknown;
  /** Needed on every write: what makes a repeat count once. */
  readonly idempotencyKey?: string;
  readonly schema: z.ZodType<T>;
  /** Overrides the neighbour's; 0 inside jobs, where the row owns the repeats. */
  readonly retries?: number;
}
