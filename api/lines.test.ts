import { Readable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { type Line, linesOf } from './lines.ts';

async function read(chunks: readonly (string | Buffer)[]): Promise<Line[]> {
  const lines: Line[] = [];
  for await (const line of linesOf(Readable.from(chunks.map((chunk) => Buffer.from(chunk))))) lines.push(line);
  return lines;
}

describe('lines of a stream', () => {
  test('are the same however the stream is cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme', maxLength: 6 })), fc.array(fc.nat(200)), async (texts, cuts) => {
        const lines = texts.map((text) => text.replaceAll(/[\r\n]/g, '').trim());
        const whole = Buffer.from(lines.join('\n'));
        const places = [0, ...cuts.map((cut) => Math.min(cut, whole.length)).toSorted((a, b) => a - b), whole.length];
        const chunks = places.slice(1).map((end, index) => whole.subarray(places[index], end));
        const expected = lines.flatMap((text, index) => (text === '' ? [] : [{ number: index + 1, text }]));
        expect(await read(chunks)).toEqual(expected);
      }),
    );
  });

  test('that are too long come without their text, and the next one is whole', async () => {
    const long = 'x'.repeat(40_000);
    expect(await read(['a\n', long, long, 'y\nb\n'])).toEqual([
      { number: 1, text: 'a' },
      { number: 2, text: undefined },
      { number: 3, text: 'b' },
    ]);
    expect(await read([long, long])).toEqual([{ number: 1, text: undefined }]);
  });
});
