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
});
