/** Figures of one simulation. */
export interface Score {
  readonly grants: number;
  /** Requests that got no device, those that waited in vain included. */
  readonly refusals: number;
  readonly refusalsByCode: Readonly<Record<string, number>>;
  /** From being asked to the grant, ms, of those that were granted; `null` when none was. */
  readonly waitP50Ms: number | null;
  readonly waitP95Ms: number | null;
  /** Share of the time of all devices, from the first grant to the last end, in which they were held: 0..1. */
  readonly utilisation: number;
  /** Hours held times `costPerHour`; a device without a price costs nothing. */
  readonly cost: number;
}

const HOUR_MS = 3_600_000;

/** Counts what becomes of requests. */
export class Tally {
  readonly #devices: number;
  readonly #waits: number[] = [];
  readonly #refusals = new Map<string, number>();
  #heldMs = 0;
  #cost = 0;
  #first = Infinity;
  #last = -Infinity;

  constructor(devices: number) {
    this.#devices = devices;
  }

  granted(askedMs: number, nowMs: number, holdMs: number, costPerHour: number | null): void {
    this.#waits.push(nowMs - askedMs);
    this.#heldMs += holdMs;
    this.#cost += (holdMs / HOUR_MS) * (costPerHour ?? 0);
    this.#first = Math.min(this.#first, nowMs);
    this.#last = Math.max(this.#last, nowMs + holdMs);
  }

  refused(code: string): void {
    this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
  }

  score(): Score {
    const waits = this.#waits.toSorted((a, b) => a - b);
    const wholeMs = this.#devices * (this.#last - this.#first);
    return {
      grants: waits.length,
      refusals: [...this.#refusals.values()].reduce((sum, count) => sum + count, 0),
      refusalsByCode: Object.fromEntries(this.#refusals),
      waitP50Ms: percentile(waits, 0.5),
      waitP95Ms: percentile(waits, 0.95),
      utilisation: wholeMs > 0 ? this.#heldMs / wholeMs : 0,
      cost: Math.round(this.#cost * 1e6) / 1e6,
    };
  }
}

/** The nearest rank, as of sorted numbers. */
function percentile(sorted: readonly number[], share: number): number | null {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? null;
}
