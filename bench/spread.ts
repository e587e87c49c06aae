/** What several measurements of the same thing say. */
export interface Spread {
  readonly n: number;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @throws Error without a single measurement */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { n: sorted.length, median: quantile(sorted, 0.5), min: quantile(sorted, 0), max: quantile(sorted, 1) };
}

/**
 * The value below which `share` of the values lie; between two values it is interpolated (R-7, as in most tools).
 *
 * @param sorted  ascending
 */
export function quantile(sorted: readonly number[], share: number): number {
  const position = (sorted.length - 1) * share;
  const low = sorted[Math.floor(position)];
  const high = sorted[Math.ceil(position)];
  if (low === undefined || high === undefined) throw new Error('nothing was measured');
  return low + (high - low) * (position - Math.floor(position));
}

/** Round by round: what was measured together is compared, so that a slow minute of the machine hits both sides. */
export function ratioOf(ours: readonly number[], reference: readonly number[]): Spread {
  return spreadOf(ours.map((value, round) => value / (reference[round] ?? Number.NaN)));
}
