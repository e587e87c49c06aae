import CircuitBreaker from 'opossum';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';

export type BreakerState = 'closed' | 'half-open' | 'open';

/** When a breaker opens and for how long. Times in ms. */
export interface BreakerTuning {
  /** Failing share of the calls at which it opens, percent. */
  readonly openAtPercent: number;
  /** Calls within the window below which it stays closed. */
  readonly leastCalls: number;
  readonly windowMs: number;
  /** Time until one probe is let through. */
  readonly openMs: number;
  /** Above the longest call, so that a probe that never ends cannot keep the breaker half open for ever. */
  readonly hangMs: number;
}

export interface BreakerDeps extends BreakerTuning {
  readonly name: string;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'breakerState'>;
  /** Told of every change. */
  readonly onChange?: ((state: BreakerState) => void) | undefined;
}

export interface Breaker {
  /** Runs the work, or rejects at once with `BreakerOpen`. What the work throws counts as a failure of the neighbour. */
  run<T>(work: () => Promise<T>): Promise<T>;
  state(): BreakerState;
  close(): void;
}

/** The neighbour was not asked because it has been failing. */
export class BreakerOpen extends Error {
  constructor(name: string, cause: unknown) {
    super(`${name}-service keeps failing and is left alone for a while`, { cause });
    this.name = 'BreakerOpen';
  }
}

const GAUGE: Readonly<Record<BreakerState, number>> = { closed: 0, 'half-open': 0.5, open: 1 };

/**
 * One breaker stands before one neighbour. No `capacity` (its rejections would open the circuit), no `errorFilter` (a
 * filtered error would close a half-open one: refusals are values here, not errors), no shared abort controller (it
 * would abort every call), no health check.
 */
export function createBreaker(deps: BreakerDeps): Breaker {
  const circuit = new CircuitBreaker((work: () => Promise<unknown>) => work(), optionsOf(deps));
  const state = (): BreakerState => (circuit.opened ? 'open' : circuit.halfOpen ? 'half-open' : 'closed');
  const report = () => deps.metrics.breakerState.set({ neighbour: deps.name }, GAUGE[state()]);
  const changed = () => {
    report();
    deps.onChange?.(state());
  };
  report();
  circuit.on('open', () => {
    changed();
    deps.logger.warn({ neighbour: deps.name, openMs: deps.openMs }, 'breaker opened');
  });
  circuit.on('halfOpen', changed);
  circuit.on('close', () => {
    changed();
    deps.logger.info({ neighbour: deps.name }, 'breaker closed');
  });
  return {
    run: (work) => runThrough(circuit, deps.name, work),
    state,
    close: () => circuit.shutdown(),
  };
}

function optionsOf(deps: BreakerDeps): CircuitBreaker.Options {
  return {
    name: deps.name,
    timeout: deps.hangMs,
    // opossum opens above its threshold, the rule says at it.
    errorThresholdPercentage: deps.openAtPercent - 0.001,
    volumeThreshold: deps.leastCalls,
    rollingCountTimeout: deps.windowMs,
    resetTimeout: deps.openMs,
    rollingPercentilesEnabled: false,
    enableSnapshots: false,
  };
}

async function runThrough<T>(circuit: CircuitBreaker<[() => Promise<unknown>]>, name: string, work: () => Promise<T>): Promise<T> {
  let result: { value: T } | undefined;
  try {
    await circuit.fire(async () => {
      result = { value: await work() };
    });
  } catch (error) {
    throw isRejection(error) ? new BreakerOpen(name, error) : error;
  }
  if (result === undefined) throw new Error('the breaker reported success without running the work');
  return result.value;
}

function isRejection(error: unknown): boolean {
  return (
    error instanceof Error &&
    CircuitBreaker.isOurError(error) &&
    'code' in error &&
    (error.code === 'EOPENBREAKER' || error.code === 'ESHUTDOWN')
  );
}
