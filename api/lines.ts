import type { Readable } from 'node:stream';

/** One line of a stream, counted from 1. `text` is absent if the line was longer than allowed. */
export interface Line {
  readonly number: number;
  readonly text: string | undefined;
}

/** Longest line, in bytes: far beyond any device. */
const LONGEST = 64 * 1024;
const NEWLINE = 0x0a;

/**
 * Splits a stream into lines without keeping more than one of them. Empty lines are counted, but not given out.
 * A line beyond 64 KB is given out without its text, and is not kept either.
 */
export async function* linesOf(stream: Readable): AsyncGenerator<Line> {
  let number = 0;
  let parts: Buffer[] = [];
  let length = 0;

  function* finish(): Generator<Line> {
    number += 1;
    const text = length > LONGEST ? undefined : Buffer.concat(parts).toString('utf8').trim();
    parts = [];
    length = 0;
    if (text !== '') yield { number, text };
  }

  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      keep(chunk.subarray(start, end));
      yield* finish();
      start = end + 1;
    }
    keep(chunk.subarray(start));
  }
  if (length > 0) yield* finish();

  function keep(part: Buffer): void {
    length += part.length;
    if (length <= LONGEST) parts.push(part);
    else parts = [];
  }
}
