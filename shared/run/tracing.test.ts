import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type ArrivedSpan, type SpanCollector, startSpanCollector } from '../../tests/support/span-collector.ts';
import { createLogger } from '../logger.ts';
import { spanned, spannedGroup, spannedWithin, spanRecorder, traceNow } from '../spans.ts';
import { readTrace } from '../trace.ts';
import { createCautiousExporter } from './cautious-exporter.ts';
import { openTracing, type Tracing } from './tracing.ts';

let collector: SpanCollector;
let tracing: Tracing;

beforeEach(async () => {
  collector = await startSpanCollector();
  tracing = openTracing({ name: 'test', endpoint: collector.endpoint, logger: createLogger('test', 'silent') });
});
afterEach(async () => {
  await tracing.close();
  await collector.close();
});

const hex = (digit: string, length: number) => digit.repeat(length);
const textOf = (digit: string, flags = '01') => `00-${hex(digit, 32)}-${hex(digit, 16)}-${flags} request-${digit}`;

/** What was recorded, by name. Nothing is recorded any more after that. */
async function recorded(): Promise<readonly ArrivedSpan[]> {
  await tracing.close();
  return collector.spans;
}

describe('spans', () => {
  test('of a group are one for each trace; what happens in there belongs to the first, and they are linked both ways', async () => {
    await spannedGroup('group', [textOf('a'), textOf('b'), textOf('a'), undefined, textOf('c')], () =>
      spannedWithin(
        () => ({ name: 'inside', kind: 'client' }),
        async () => undefined,
      ),
    );
    const spans = await recorded();
    const [inside, lead, ...beside] = ['inside', 'group']
      .flatMap((name) => spans.filter((span) => span.name === name))
      .toSorted((a, b) => Number(b.name === 'inside') - Number(a.name === 'inside') || a.traceId.localeCompare(b.traceId));
    expect([lead, ...beside].map((span) => [span?.traceId, span?.parentSpanId, span?.attributes['scheduler.group.size']])).toEqual(
      ['a', 'b', 'c'].map((digit) => [hex(digit, 32), hex(digit, 16), 5]),
    );
    expect(inside).toMatchObject({ traceId: lead?.traceId, parentSpanId: lead?.spanId });
    expect(lead?.links.map(({ spanId }) => spanId)).toEqual([hex('b', 16), hex('c', 16)]);
    for (const span of beside) expect(span.links.map(({ spanId }) => spanId)).toEqual([lead?.spanId]);
  });

  test('go on from the span of the moment in its own trace, and link to it from another', async () => {
    await spanned(
      () => ({ name: 'job', kind: 'consumer', after: textOf('a') }),
      async () => {
        await spanned(
          () => ({ name: 'same', kind: 'client', after: textOf('a') }),
          async () => undefined,
        );
        await spanned(
          () => ({ name: 'other', kind: 'client', after: textOf('b') }),
          async () => undefined,
        );
      },
    );
    const [same, other, job] = await recorded();
    expect(same).toMatchObject({ name: 'same', parentSpanId: job?.spanId, links: [] });
    expect(other).toMatchObject({ name: 'other', traceId: hex('b', 32), parentSpanId: hex('b', 16), links: [{ spanId: job?.spanId }] });
  });

  test('begin the trace a request is named after, and say where it stands from there on', async () => {
    const requestId = 'abcdefab-cdef-abcd-efab-cdefabcdefab';
    const text = await spanned(
      () => ({ name: 'call', kind: 'server', after: requestId }),
      async () => traceNow({ requestId, traceId: undefined }),
    );
    const [call] = await recorded();
    expect(call?.traceId).toBe(requestId.replaceAll('-', ''));
    expect(call?.parentSpanId ?? '').toBe('');
    expect(readTrace(text)).toEqual({ requestId, traceId: call?.traceId, parent: { spanId: call?.spanId, flags: '01' } });
  });

  test('are not recorded where the caller does not record theirs, nor of what nobody asked for', async () => {
    await spanned(
      () => ({ name: 'unsampled', kind: 'server', after: textOf('a', '00') }),
      async () => undefined,
    );
    await spannedWithin(
      () => ({ name: 'alone', kind: 'client' }),
      async () => undefined,
    );
    expect(await recorded()).toEqual([]);
  });

  test('of what fails say the kind of failure, and not its words', async () => {
    const failing = spanned(
      () => ({ name: 'failing', kind: 'internal' }),
      () => Promise.reject(new RangeError('alice has no such thing')),
    );
    await expect(failing).rejects.toThrow('alice has no such thing');
    const [span] = await recorded();
    expect(span).toMatchObject({ status: { code: 2 }, attributes: { 'error.type': 'RangeError' }, events: [] });
    expect(collector.texts.join()).not.toContain('alice');
  });

  test('end with tracing: then work is just done', async () => {
    await tracing.close();
    expect(spanRecorder()).toBeUndefined();
    expect(traceNow({ requestId: 'order-17', traceId: undefined })).toBe('order-17');
    const unasked = () => {
      throw new Error('nobody should ask what a span would be');
    };
    expect(await spanned(unasked, async (span) => span)).toBeUndefined();
    expect(await spannedWithin(unasked, async () => 7)).toBe(7);
    expect(await spannedGroup('group', [textOf('a')], async () => 8)).toBe(8);
    expect(collector.texts).toEqual([]);
  });
});

describe('spans that cannot be sent', () => {
  test('are spoken of once in a while with how many were lost, and once when they arrive again', () => {
    const lines: Record<string, unknown>[] = [];
    const logger = createLogger('test', 'info', { write: (line) => void lines.push(JSON.parse(line)) });
    let code = 1;
    const sender = { export: (_: unknown, done: (result: { code: number }) => void) => done({ code }), shutdown: () => Promise.resolve() };
    const exporter = createCautiousExporter(sender, logger);
    for (let sent = 0; sent < 50; sent += 1) exporter.export([], () => undefined);
    code = 0;
    for (let sent = 0; sent < 3; sent += 1) exporter.export([], () => undefined);
    expect(lines.map(({ msg }) => msg)).toEqual(['spans cannot be sent and are lost; allocations go on', 'spans are sent again']);
    const impatient = createCautiousExporter(sender, logger, 0);
    code = 1;
    for (let sent = 0; sent < 3; sent += 1) impatient.export([], () => undefined);
    expect(lines).toHaveLength(5);
  });
});
