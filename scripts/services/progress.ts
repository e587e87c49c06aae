const QUIET_MS = 2_000;

/** One line of progress, on standard error so that standard output stays for results. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Waits for something, and says every two seconds that it still does. */
export async function during<T>(label: string, work: Promise<T>): Promise<T> {
  const start = Date.now();
  const ticker = setInterval(() => say(`  ${label}: ${Math.round((Date.now() - start) / 1_000)} s so far`), QUIET_MS);
  try {
    return await work;
  } finally {
    clearInterval(ticker);
  }
}

/** Rows as an aligned table, the first one its head. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
