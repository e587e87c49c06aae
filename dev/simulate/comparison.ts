import type { SimulatedResult } from '../../shared/simulation/simulate.ts';

const COLUMNS: readonly (readonly [string, (result: SimulatedResult) => string])[] = [
  ['strategy', ({ type }) => type],
  ['grants', ({ grants }) => String(grants)],
  ['refusals', ({ refusals }) => String(refusals)],
  ['wait p50', ({ waitP50Ms }) => seconds(waitP50Ms)],
  ['wait p95', ({ waitP95Ms }) => seconds(waitP95Ms)],
  ['utilisation', ({ utilisation }) => `${(utilisation * 100).toFixed(1)} %`],
  ['cost', ({ cost }) => cost.toFixed(2)],
];

/** An aligned table, one line a strategy, numbers to the right. */
export function comparison(results: readonly SimulatedResult[]): string {
  const rows = [COLUMNS.map(([title]) => title), ...results.map((result) => COLUMNS.map(([, cell]) => cell(result)))];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const align = (cell: string, column: number) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0));
  return rows.map((row) => row.map(align).join('  ').trimEnd()).join('\n');
}

function seconds(ms: number | null): string {
  return ms === null ? '–' : `${(ms / 1_000).toFixed(1)} s`;
}
