import type { BenchRun } from './scenario.ts';

/** One side of a comparison: measures once and gives its numbers by name. */
export interface Contestant<Name extends string> {
  readonly name: string;
  readonly measure: (round: number) => Promise<Readonly<Partial<Record<Name, number>>>>;
}

/**
 * Measures all sides in turn, round after round, every second round in reverse order, so that neither side always finds
 * the machine as the other left it. The first round warms up and does not count.
 *
 * @returns by side and number, the measurements of all rounds
 */
export async function alternate<Name extends string>(
  { rounds, quick, say }: BenchRun,
  contestants: readonly Contestant<Name>[],
): Promise<(side: number, number: Name) => number[]> {
  const measured = contestants.map((): Readonly<Partial<Record<Name, number>>>[] => []);
  for (let round = quick ? 1 : 0; round <= rounds; round += 1) {
    const sides = [...contestants.entries()];
    for (const [side, { name, measure }] of round % 2 === 0 ? sides : sides.toReversed()) {
      const numbers = await measure(round);
      if (round > 0) measured[side]?.push(numbers);
      say(`${round === 0 ? 'warm-up' : `round ${round}/${rounds}`}  ${name}: ${inWords(numbers)}`);
    }
  }
  return (side, number) => (measured[side] ?? []).map((numbers) => numbers[number] ?? Number.NaN);
}

function inWords(numbers: Readonly<Record<string, number | undefined>>): string {
  return Object.entries<number | undefined>(numbers)
    .map(([name, value]) => `${name} ${brief(value ?? Number.NaN)}`)
    .join(', ');
}

/** Three digits are all a benchmark knows. */
export function brief(value: number): string {
  if (Math.abs(value) >= 100) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}
