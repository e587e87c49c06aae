import { setTimeout as pause } from 'node:timers/promises';
import { quantile } from './spread.ts';

/**
 * Begins something at a steady rate, however long each takes, and waits for all of it: who comes does not wait until those
 * before are served. A time is counted from the moment the thing was due, so a stall is felt by everything due meanwhile.
 *
 * @param perSecond  begun each second
 * @param count      begun altogether
 * @param begin      gets its number
 * @returns ms each took, in the order they were due
 */
export async function openLoop(perSecond: number, count: number, begin: (number: number) => Promise<void>): Promise<number[]> {
  const started = performance.now();
  const times: Promise<number>[] = [];
  for (let number = 0; number < count; number += 1) {
    const due = started + (number * 1_000) / perSecond;
    const early = due - performance.now();
    if (early > 0) await pause(early);
    times.push(begin(number).then(() => performance.now() - due));
  }
  return Promise.all(times);
}

/** Median and the two usual tails, ms. */
export function percentilesOf(times: readonly number[]): { p50: number; p95: number; p99: number } {
  const sorted = times.toSorted((a, b) => a - b);
  return { p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95), p99: quantile(sorted, 0.99) };
}
