import CliTable3 from 'cli-table3';
import type { Screen } from './screen.ts';
import { onOneLine, textWidth } from './text-width.ts';

/** One column. */
export interface Column<T> {
  readonly head: string;
  readonly value: (row: T) => string;
  /** Columns are shown in their order as long as there is room for them; the smallest `extra` first. Without it: always. */
  readonly extra?: number;
  /** A text that may be cut down to so many characters; ids are never cut. */
  readonly least?: number;
  readonly right?: boolean;
  /** Colours a value; what is measured is the plain text. */
  readonly paint?: (text: string, row: T) => string;
}

interface Sized<T> {
  readonly column: Column<T>;
  readonly texts: readonly string[];
  readonly natural: number;
  width: number;
}

const GAP = 2;
const NO_LINES = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
  ].map((name) => [name, '']),
);

/** Aligned rows that fit the screen: less important columns appear where there is room, long texts are cut with an ellipsis. */
export function table<T>(screen: Screen, columns: readonly Column<T>[], rows: readonly T[]): string {
  const sized = fitted(
    columns.map((column) => measure(column, rows)),
    screen.width,
  );
  const grid = new CliTable3({
    chars: NO_LINES,
    colWidths: sized.map(({ width }, index) => width + (index === sized.length - 1 ? 0 : GAP)),
    colAligns: sized.map(({ column }) => (column.right === true ? 'right' : 'left')),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  });
  grid.push(sized.map(({ column }, index) => cell(screen.paint.dim(column.head.toUpperCase()), index === sized.length - 1)));
  for (const [at, row] of rows.entries()) {
    grid.push(
      sized.map(({ column, texts }, index) => {
        const text = texts[at] ?? '';
        return cell(column.paint?.(text, row) ?? text, index === sized.length - 1);
      }),
    );
  }
  return trimmed(grid.toString());
}

/** The gap belongs to the column before it, so that a number that is aligned right does not touch its neighbour. */
function cell(content: string, last: boolean) {
  return { content, style: { 'padding-left': 0, 'padding-right': last ? 0 : GAP } };
}

function measure<T>(column: Column<T>, rows: readonly T[]): Sized<T> {
  const texts = rows.map((row) => onOneLine(column.value(row)));
  const natural = Math.max(textWidth(column.head), ...texts.map(textWidth));
  return { column, texts, natural, width: natural };
}

function fitted<T>(all: readonly Sized<T>[], width: number): Sized<T>[] {
  const leastOf = ({ column, natural }: Sized<T>) => Math.min(natural, Math.max(column.least ?? natural, textWidth(column.head)));
  const needed = (some: readonly Sized<T>[], size: (one: Sized<T>) => number) =>
    some.reduce((sum, one) => sum + size(one), GAP * (some.length - 1));
  let shown = all.filter(({ column }) => column.extra === undefined);
  const isWorthIt = ({ column, texts }: Sized<T>) => column.extra !== undefined && texts.some((text) => text !== '');
  const extras = all.filter(isWorthIt).sort((a, b) => (a.column.extra ?? 0) - (b.column.extra ?? 0));
  for (const extra of extras) {
    const tried = all.filter((one) => shown.includes(one) || one === extra);
    // An extra must not cost the others their texts: it is added only where everything fits uncut.
    if (needed(tried, ({ natural }) => natural) <= width) shown = tried;
  }
  for (let over = needed(shown, ({ natural }) => natural) - width; over > 0; over -= 1) {
    const widest = shown.filter((one) => one.width > leastOf(one)).sort((a, b) => b.width - a.width)[0];
    if (widest === undefined) break;
    widest.width -= 1;
  }
  return shown;
}

/** Names and values, one a line. Values may be long: they go on below themselves. */
export function fields(screen: Screen, rows: readonly (readonly [name: string, value: string | undefined])[]): string {
  const shown = rows.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [[name, value] as const]));
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${screen.paint.dim(name.padEnd(width))}  ${value}`).join('\n');
}

function trimmed(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
