import { percentile } from './tally.ts';

/** How numbers, times and shares are written in the summary. */
export const amount = (number: number): string => number.toLocaleString('en');

/** @param value  ms; undefined: there was none */
export function time(value: number | undefined): string {
  if (value === undefined) return '–';
  // A space that does not break: a number and its unit stay on one line.
  return value < 1_000 ? `${Math.round(value)}\u00a0ms` : `${(value / 1_000).toFixed(1)}\u00a0s`;
}

export const percent = (part: number, whole: number): string => `${Math.round((100 * part) / Math.max(1, whole))}\u00a0%`;

/** The half, the slowest twentieth and hundredth of times in ms. */
export const spread = (numbers: readonly number[]): readonly [string, string, string] => [
  time(percentile(numbers, 0.5)),
  time(percentile(numbers, 0.95)),
  time(percentile(numbers, 0.99)),
];

/** The same as a sentence. */
export function spreadInWords(numbers: readonly number[]): string {
  const [p50, p95] = spread(numbers);
  return `p50 ${p50}, p95 ${p95}`;
}

/** A share as a bar of block characters, `width` characters long at 1. */
export function bar(share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  return '█'.repeat(Math.floor(eighths / 8)) + (eighths % 8 === 0 ? '' : (' ▏▎▍▌▋▊▉'[eighths % 8] ?? ''));
}
