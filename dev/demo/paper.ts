import { styleText } from 'node:util';

/** What is printed on: how wide, and whether in colour. */
export interface Paper {
  readonly columns: number;
  readonly colours: boolean;
}

/** A line of a list: what, how much, and what there is to say about it. */
export type Row = readonly [what: string, much: string, note?: string];

/** Wider lines are hard to read. */
const WIDEST = 118;
/** Where there is nobody with a window. */
const USUAL = 100;
/** With less room than this beside what it belongs to, a text goes below it. */
const NARROW = 36;

/** The paper a stream is. Colours where a person looks on, unless they said NO_COLOR. */
export function paperOf(out: Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>, noColour: boolean): Paper {
  const columns = out.isTTY && out.columns > 0 ? out.columns - 1 : USUAL;
  return { columns: Math.min(WIDEST, Math.max(40, columns)), colours: out.isTTY && !noColour };
}

export function heading(title: string, { columns, colours }: Paper): string {
  const line = '─'.repeat(Math.max(2, columns - title.length - 1));
  return colours ? `${styled('bold', title)} ${styled('dim', line)}` : `${title} ${line}`;
}

export function dim(text: string, { colours }: Paper): string {
  return colours ? styled('dim', text) : text;
}

/** Numbers to the right, notes wrapped below themselves. */
export function list(rows: readonly Row[], paper: Paper): string {
  const what = longest(rows.map(([name]) => name));
  const much = longest(rows.map(([, number]) => number));
  const indent = what + much + 6;
  return rows
    .map(([name, number, note = '']) => {
      const [first = '', ...rest] = wrap(note, Math.max(20, paper.columns - indent));
      const line = `  ${name.padEnd(what)}  ${number.padStart(much)}  ${first}`.trimEnd();
      return [line, ...rest.map((more) => `${' '.repeat(indent)}${more}`)].join('\n');
    })
    .join('\n');
}

/** Columns of numbers to the right, under their names. */
export function grid(head: readonly string[], rows: readonly (readonly string[])[], paper: Paper): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => longest(all.map((row) => row[column] ?? '')));
  const align = (cell: string, column: number) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0));
  const [first = '', ...others] = all.map((row) => `  ${row.map(align).join('  ')}`.trimEnd());
  return [dim(first, paper), ...others].join('\n');
}

/** A mark, a name, and the figures behind it: beside the name where there is room, else below. */
export function marked(rows: readonly { readonly ok: boolean; readonly name: string; readonly seen: string }[], paper: Paper): string {
  const width = longest(rows.map(({ name }) => name));
  const room = paper.columns - width - 6;
  return rows
    .map(({ ok, name, seen }) => {
      const mark = ok ? '✓' : '✗ BROKEN:';
      const shown = paper.colours ? styled(ok ? 'green' : 'red', mark) : mark;
      if (room < NARROW || !ok)
        return [`  ${shown} ${name}`, ...wrap(seen, paper.columns - 6, ', ').map((line) => `      ${dim(line, paper)}`)].join('\n');
      const [first = '', ...rest] = wrap(seen, room, ', ');
      const indent = ' '.repeat(width + 6);
      return [
        `  ${shown} ${name.padEnd(width)}  ${dim(first, paper)}`.trimEnd(),
        ...rest.map((line) => `${indent}${dim(line, paper)}`),
      ].join('\n');
    })
    .join('\n');
}

/** The last line: whether everything holds, and if not what. */
export function verdict(broken: readonly string[], checks: number, { colours }: Paper): string {
  const words = broken.length === 0 ? `✓ everything holds: ${checks} checks` : `✗ NOT everything holds: ${broken.join('; ')}`;
  return colours ? styled(['bold', broken.length === 0 ? 'green' : 'red'], words) : words;
}

/** Lines no longer than `width`, broken after a space (or whatever is between); what is longer stands alone. */
export function wrap(text: string, width: number, between = ' '): string[] {
  const lines: string[] = [];
  const room = width - between.trimEnd().length;
  for (const word of text === '' ? [] : text.split(between)) {
    const line = lines.at(-1);
    const longer = line === undefined ? word : `${line}${between}${word}`;
    if (line === undefined || longer.length > room) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines.map((line, index) => (index < lines.length - 1 ? `${line}${between.trimEnd()}` : line));
}

// Whether there are colours has been settled: Node is not to ask the stream once more.
const styled = (style: Parameters<typeof styleText>[0], text: string) => styleText(style, text, { validateStream: false });

const longest = (texts: readonly string[]) => Math.max(0, ...texts.map((text) => text.length));
