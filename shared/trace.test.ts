import { describe, expect, test } from '@jest/globals';
import { readTrace, writeTrace } from './trace.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const uuid = '4BF92F35-77b3-4da6-a3ce-929d0e0e4736';

describe('a trace', () => {
  test('carries the id of the request and the trace it belongs to in one text', () => {
    const text = writeTrace({ requestId: 'order-17', traceId });
    expect(readTrace(text)).toEqual({ requestId: 'order-17', traceId });
  });

  test('says a request whose id is the trace once', () => {
    expect(writeTrace({ requestId: uuid, traceId })).toBe(uuid);
    expect(readTrace(uuid)).toEqual({ requestId: uuid, traceId });
  });

  test.each([
    ['order 17', { requestId: 'order 17', traceId: undefined }],
    ['', { requestId: undefined, traceId: undefined }],
    ['0'.repeat(32), { requestId: '0'.repeat(32), traceId: undefined }],
    [`${'0'.repeat(32)} order`, { requestId: 'order', traceId: undefined }],
  ])('is read from any text: %j', (text, trace) => {
    expect(readTrace(text)).toEqual(trace);
  });

  test.each([
    { requestId: 'order-17', traceId: undefined },
    { requestId: undefined, traceId },
  ])('may lack one of the two: %j', (trace) => {
    expect(readTrace(writeTrace(trace))).toMatchObject(trace.traceId === undefined ? trace : { traceId });
  });

  test.each([
    ['01', 'order-17'],
    ['00', 'a b'],
    ['01', undefined],
  ])('carries the place in a trace where spans are recorded (flags %s, request %s)', (flags, requestId) => {
    const trace = { requestId, traceId, parent: { spanId: '00f067aa0ba902b7', flags } };
    const traceparent = `00-${traceId}-00f067aa0ba902b7-${flags}`;
    expect(writeTrace(trace)).toBe(requestId === undefined ? traceparent : `${traceparent} ${requestId}`);
    expect(readTrace(writeTrace(trace))).toEqual(trace);
  });

  test('is the id of a request when it only looks like a traceparent', () => {
    for (const text of [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, `00-${traceId}-${'0'.repeat(16)}-01`, `00-${traceId}-00f067aa0ba902b7`])
      expect(readTrace(text)).toEqual({ requestId: text, traceId: undefined });
  });
});
