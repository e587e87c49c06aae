import { describe, expect, test } from '@jest/globals';
import { traceHeadersOf } from './traceparent.ts';

const event = '11112222-3333-4444-5555-666677778888';
const traceparentOf = (...args: Parameters<typeof traceHeadersOf>) => traceHeadersOf(...args).traceparent;

describe('traceparent', () => {
  test('goes on with the trace that led to the event', () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    expect(traceparentOf(traceparent, event)).toBe(traceparent);
    expect(traceparentOf('0AF7651916CD43DD8448EB211C80319C', event)).toBe('00-0af7651916cd43dd8448eb211c80319c-5555666677778888-01');
  });

  test.each([undefined, 'not a trace'])('starts a trace of its own for an event that says %s', (traceId) => {
    expect(traceparentOf(traceId, event)).toBe('00-11112222333344445555666677778888-5555666677778888-01');
  });

  test('hands on the place in the trace that was stored, where it records no span itself', () => {
    expect(traceHeadersOf('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00 order-17', event)).toEqual({
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
      'x-request-id': 'order-17',
    });
  });

  test('comes with the id of the request that led to the event', () => {
    expect(traceHeadersOf('0af7651916cd43dd8448eb211c80319c order-17', event)).toEqual({
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-5555666677778888-01',
      'x-request-id': 'order-17',
    });
    expect(traceHeadersOf(undefined, event)).not.toHaveProperty('x-request-id');
  });
});
