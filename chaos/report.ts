import type { RoundResult } from './round.ts';

const HEAD = ['fault', 'struck', 'seed', 'grants', 'refused', 'errors', 'recovery', 'settled', 'invariants', 'verdict'] as const;

/** Whether everything held in a round. */
export function holds({ findings }: RoundResult): boolean {
  return findings.every(({ ok }) => ok);
}

/** A line a round, as columns. */
export function table(results: readonly RoundResult[]): string {
  const rows = [HEAD, ...results.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const isText = (column: number) => column === 0 || column === HEAD.length - 1;
  return rows
    .map((row) =>
      row.map((cell, column) => (isText(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  '),
    )
    .join('\n');
}

function cells(result: RoundResult): string[] {
  const { fault, struckAtMs, seed, grants, refusals, errors, recoveryMs, settledMs, findings } = result;
  const good = findings.filter(({ ok }) => ok).length;
  return [
    fault,
    seconds(struckAtMs),
    `${seed}`,
    `${grants}`,
    `${refusals}`,
    `${errors}`,
    seconds(recoveryMs),
    seconds(settledMs),
    `${good}/${findings.length}`,
    holds(result) ? 'holds' : 'BROKEN',
  ];
}

/** What did not hold in a round, a line each. */
export function broken({ fault, seed, findings }: RoundResult): string[] {
  return findings.filter(({ ok }) => !ok).map(({ name, seen }) => `  ${fault} (seed ${seed}): NOT ${name}: ${seen}`);
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
