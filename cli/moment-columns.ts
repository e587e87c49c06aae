import type { Screen } from './screen.ts';
import type { Column } from './table.ts';

/**
 * An instant as two columns: how far it is away, and where there is room also when that is by the clock.
 *
 * @param head  of the first, for example `ends`
 * @param now   the clock of the API
 */
export function momentColumns<T>(screen: Screen, head: string, instantOf: (row: T) => string | null | undefined, now: Date): Column<T>[] {
  return [
    { head, value: (row) => screen.distance(instantOf(row), now) },
    { head: 'at', value: (row) => screen.clock(instantOf(row), now), extra: 0 },
  ];
}
