import { createReadStream, type ReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { CSV_COLUMNS, readCsvLine, readHeader } from './csv-line.ts';
import type { TraceEntry } from './recorded-request.ts';
import { readSwfLine } from './swf-line.ts';

/**
 * Reads recorded requests, line by line, so that a log of any size needs little memory. Gzip is seen by the first two
 * bytes; `.swf` or `.swf.gz` is the Standard Workload Format, anything else CSV.
 *
 * @param limit  how many requests to read at most; lines with a problem do not count
 * @throws the file system's error when the file cannot be read, zlib's when a gzipped one is damaged
 */
export async function* readTrace(file: string, limit = Number.POSITIVE_INFINITY): AsyncGenerator<TraceEntry> {
  const lines = linesOf(file);
  const entries = isSwf(file) ? readSwf(lines) : readCsv(lines);
  let requests = 0;
  for await (const entry of entries) {
    if (entry.kind === 'request') requests += 1;
    if (requests > limit) return;
    yield entry;
  }
}

/** What a Standard Workload Format file says of itself in front of its jobs, such as `Acknowledge`; empty for CSV. */
export async function readTraceHeader(file: string): Promise<ReadonlyMap<string, string>> {
  const header = new Map<string, string>();
  if (!isSwf(file)) return header;
  for await (const line of linesOf(file)) {
    const [, name, value] = /^\s*;\s*(\w+):\s*(.*\S)/.exec(line) ?? [];
    if (name !== undefined && value !== undefined && !header.has(name)) header.set(name, value);
    else if (line.trim() !== '' && !line.trimStart().startsWith(';')) return header;
  }
  return header;
}

const isSwf = (file: string) => /\.swf(\.gz)?$/i.test(file);

/** The lines of a file, unpacked, whatever ends them. Own code, because readline loses the errors of its input. */
async function* linesOf(file: string): AsyncGenerator<string> {
  const packed = await isGzip(file);
  const bytes = createReadStream(file);
  const input: AsyncIterable<Buffer> = packed ? unpacked(bytes) : bytes;
  const decoder = new TextDecoder(); // drops a byte order mark as well
  let rest = '';
  for await (const chunk of input) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) yield part.replace(/\r$/, '');
  }
  if (rest !== '') yield rest.replace(/\r$/, '');
}

/** What goes wrong with either stream reaches the reader, also when it does before anybody reads; with `compose` it escapes then. */
function unpacked(bytes: ReadStream): AsyncIterable<Buffer> {
  return pipeline(bytes, createGunzip(), () => undefined);
}

async function isGzip(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await handle.close();
  }
}

async function* readSwf(lines: AsyncIterable<string>): AsyncGenerator<TraceEntry> {
  let line = 0;
  for await (const text of lines) {
    line += 1;
    if (text.trim() !== '' && !text.trimStart().startsWith(';')) yield readSwfLine(text, line);
  }
}

async function* readCsv(lines: AsyncIterable<string>): AsyncGenerator<TraceEntry> {
  let columns: Parameters<typeof readCsvLine>[2] | undefined;
  let line = 0;
  for await (const text of lines) {
    line += 1;
    if (text.trim() === '' || text.startsWith('#')) continue;
    const header = columns === undefined ? readHeader(text) : undefined;
    if (header !== undefined && 'problem' in header) {
      yield { kind: 'problem', line, problem: header.problem };
      return;
    }
    columns ??= header?.columns ?? CSV_COLUMNS;
    if (header === undefined) yield readCsvLine(text, line, columns);
  }
}
