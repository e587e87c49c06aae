import { describe, expect, test } from '@jest/globals';
import { createPaint } from './paint.ts';
import type { Screen } from './screen.ts';
import { type Column, fields, table } from './table.ts';
import { textWidth } from './text-width.ts';

const screen = (width: number, colours = false): Screen => ({
  width,
  paint: createPaint(colours),
  clock: () => '',
  distance: () => '',
  moment: () => '',
});

interface Row {
  readonly id: string;
  readonly name: string;
  readonly count: number;
}

const COLUMNS: readonly Column<Row>[] = [
  { head: 'id', value: ({ id }) => id },
  { head: 'name', value: ({ name }) => name, least: 6 },
  { head: 'count', value: ({ count }) => String(count), right: true, extra: 1 },
  { head: 'empty', value: () => '', extra: 2 },
];
const ROWS: Row[] = [
  { id: 'abcdefgh', name: 'a name of some length', count: 5 },
  { id: 'ijklmnop', name: '平板', count: 1_234 },
];

describe('a table', () => {
  test('shows everything where there is room, and no column without a value', () => {
    expect(table(screen(80), COLUMNS, ROWS).split('\n')).toEqual([
      'ID        NAME                   COUNT',
      'abcdefgh  a name of some length      5',
      'ijklmnop  平板                    1234',
    ]);
  });

  test('leaves out what matters less, before it cuts what matters', () => {
    expect(table(screen(34), COLUMNS, ROWS).split('\n')[1]).toBe('abcdefgh  a name of some length');
    expect(table(screen(20), COLUMNS, ROWS).split('\n')).toEqual(['ID        NAME', 'abcdefgh  a name of…', 'ijklmnop  平板']);
  });

  test('never cuts an id, and no text below what can still be read', () => {
    expect(table(screen(5), COLUMNS, ROWS).split('\n')[1]).toBe('abcdefgh  a nam…');
  });

  test('is aligned by what is seen: colours take no room', () => {
    const coloured = COLUMNS.map((column) => ({ ...column, paint: createPaint(true).red }));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours are what is taken out
    const plain = table(screen(80, true), coloured, ROWS).replaceAll(/\u001b\[\d+m/g, '');
    expect(plain).toBe(table(screen(80), COLUMNS, ROWS));
  });

  test('keeps a row on its line, whatever its texts are', () => {
    const rows = [{ id: 'a\u001b[2J\nb', name: '\u202egnp.exe', count: 1 }];
    expect(table(screen(80), COLUMNS, rows).split('\n')[1]).toBe('a [2J b  gnp.exe      1');
  });
});

describe('fields', () => {
  test('stand below each other, those without a value left out', () => {
    expect(
      fields(screen(80), [
        ['name', 'ann'],
        ['since', undefined],
        ['reason', ''],
      ]),
    ).toBe('name  ann');
    expect(
      fields(screen(80), [
        ['a', '1'],
        ['long', '2'],
      ]),
    ).toBe('a     1\nlong  2');
  });
});

test.each([
  ['abc', 3],
  ['平板', 4],
  ['é', 1],
  ['e\u0301', 1],
  ['🙂', 2],
])('%s takes %d columns', (text, width) => {
  expect(textWidth(text)).toBe(width);
});
