import { describe, expect, test } from '@jest/globals';
import { traceHeaders } from './trace-headers.ts';

const TRACEPARENT = /^00-([0-9a-f]{32})-[0-9a-f]{16}-01$/;

function traceOf(traceId: string | undefined): string | undefined {
  return TRACEPARENT.exec(traceHeaders(traceId).traceparent)?.[1];
}

describe('the headers of a trace', () => {
  test('carry a trace id as it is', () => {
    expect(traceOf('4bf92f3577b34da6a3ce929d0e0e4736')).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
  });

  test('make a trace id of a UUID', () => {
    expect(traceOf('4bf92f35-77b3-4da6-a3ce-929d0e0e4736')).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
  });

  test('make the same trace id of the same text, whatever it is', () => {
    expect(traceOf('order 17')).toMatch(/^[0-9a-f]{32}$/);
    expect(traceOf('order 17')).toBe(traceOf('order 17'));
    expect(traceOf('0'.repeat(32))).not.toBe('0'.repeat(32));
    expect(traceHeaders('order 17')['x-request-id']).toBe('order 17');
  });

  test('never carry what no header can', () => {
    for (const text of ['', 'two\r\nlines', 'größer', 'x'.repeat(201)]) expect(traceHeaders(text)['x-request-id']).toBe(traceOf(text));
  });

  test('carry both, the id of the request and the trace it belongs to', () => {
    const headers = traceHeaders('4bf92f3577b34da6a3ce929d0e0e4736 order-17');
    expect(headers['x-request-id']).toBe('order-17');
    expect(TRACEPARENT.exec(headers.traceparent)?.[1]).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
  });

  test('carry the place in the trace that was stored', () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00';
    expect(traceHeaders(`${traceparent} order-17`)).toEqual({ 'x-request-id': 'order-17', traceparent });
  });

  test('are new where nobody gave an id', () => {
    expect(traceOf(undefined)).not.toBe(traceOf(undefined));
  });
});
