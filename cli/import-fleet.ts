import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline, Readable, Transform } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { z } from 'zod';
import { messageOf } from '../shared/errors.ts';
import { usageFailure } from './cli-failure.ts';
import { readAnswer } from './read-answer.ts';
import type { Screen } from './screen.ts';
import type { Session } from './session.ts';
import { fields } from './table.ts';
import { onOneLine } from './text-width.ts';
import { durationWords } from './time-words.ts';
import { wrapText } from './wrap-text.ts';

const report = z.object({
  received: z.int(),
  created: z.int(),
  updated: z.int(),
  failed: z.int(),
  errors: z.array(z.object({ line: z.int(), code: z.string(), message: z.string() })),
});

type Report = z.output<typeof report>;

/** A million lines take about a minute; an import that takes longer than this hangs, ms. */
const TIMEOUT_MS = 30 * 60_000;
const NEWLINE = 10;

/** `devices import <file>`: sends a file while it is read, says how far it is, and lists what was wrong. */
export async function importFleet(
  session: Session,
  { errors, idempotencyKey }: { errors: number; idempotencyKey?: string },
  file = '',
): Promise<void> {
  const size = file === '-' ? undefined : await sizeOf(file);
  const source = file === '-' ? session.host.stdin : createReadStream(file);
  const seen = { bytes: 0, lines: 0, since: performance.now() };
  const counted = pipeline(source, counting(seen), () => undefined);
  session.progress.show(() => progressText(seen, size));
  try {
    const { data } = await session.send({
      method: 'POST',
      path: '/scheduler/devices/import',
      lines: Readable.toWeb(counted) as ReadableStream<Uint8Array>,
      idempotencyKey,
      timeoutMs: TIMEOUT_MS,
    });
    session.progress.stop();
    const result = readAnswer(report, data);
    if (result.failed > 0) session.host.exitWith('failed');
    session.answer(data, () => reportText(session, result, (performance.now() - seen.since) / 1_000, errors));
  } finally {
    session.progress.stop();
    counted.destroy();
  }
}

async function sizeOf(file: string): Promise<number> {
  try {
    const found = await stat(file);
    if (found.isFile()) return found.size;
  } catch (error) {
    throw usageFailure(`${file} cannot be read: ${messageOf(error)}`, 'Give a file of NDJSON, or - for standard input.');
  }
  throw usageFailure(`${file} is not a file.`, 'Give a file of NDJSON, or - for standard input.');
}

function counting(seen: { bytes: number; lines: number }): Transform {
  return new Transform({
    transform(part: Buffer, _encoding, done) {
      seen.bytes += part.length;
      for (let at = part.indexOf(NEWLINE); at !== -1; at = part.indexOf(NEWLINE, at + 1)) seen.lines += 1;
      done(null, part);
    },
  });
}

function progressText({ bytes, lines, since }: { bytes: number; lines: number; since: number }, size: number | undefined): string {
  const seconds = (performance.now() - since) / 1_000;
  const share = size === undefined || size === 0 ? '' : `${Math.floor((bytes / size) * 100)} %, `;
  return `${share}${number(lines)} lines sent, ${number(lines / seconds)} lines/s, ${durationWords(seconds)}`;
}

function reportText({ screen }: Session, result: Report, seconds: number, most: number): string {
  const { paint } = screen;
  const mark = result.failed === 0 ? paint.green('✓') : paint.red('✗');
  const counts = fields(screen, [
    ['created', number(result.created)],
    ['updated', number(result.updated)],
    ['failed', result.failed === 0 ? '0' : paint.red(number(result.failed))],
  ]);
  const head = `${mark} ${number(result.received)} lines in ${seconds.toFixed(1)} s (${number(result.received / seconds)} lines/s)\n${counts}`;
  const listed = result.errors.slice(0, most);
  if (listed.length === 0) return head;
  const wrong = listed.map((error) => wrongLine(screen, error)).join('\n');
  const more = result.failed - listed.length;
  return `${head}\n\n${wrong}${more === 0 ? '' : `\n${paint.dim(`and ${number(more)} more; --errors <n> lists more of them`)}`}`;
}

/** A wrong line is worth reading to its end: it goes on below itself. */
function wrongLine({ paint, width }: Screen, { line, code, message }: Report['errors'][number]): string {
  const place = `line ${number(line)}`;
  const room = width - place.length - 2;
  const said = wrapText(onOneLine(message), room).map((part) => `${' '.repeat(place.length + 2)}${part}`);
  return [`${paint.bold(place)}  ${paint.red(code)}`, ...said].join('\n');
}

function number(count: number): string {
  return Math.round(count).toLocaleString('en');
}
