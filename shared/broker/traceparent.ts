import { readTrace } from '../trace.ts';

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Headers of a message that say what led to it. */
export interface TraceHeaders {
  readonly traceparent: string;
  readonly 'x-request-id'?: string;
}

/**
 * The `traceparent` header of a message (https://www.w3.org/TR/trace-context/), and the `x-request-id` where one led to it.
 *
 * A trace that led to the event goes on; an event without one starts its own. All are derived, so a repeat carries the same.
 *
 * @param trace    what was stored with the event: a whole traceparent, what follows a request (`shared/trace.ts`), or nothing
 * @param eventId  a UUID
 */
export function traceHeadersOf(trace: string | undefined, eventId: string): TraceHeaders {
  const said = trace ?? '';
  if (TRACEPARENT.test(said.toLowerCase())) return { traceparent: said.toLowerCase() };
  const event = eventId.replaceAll('-', '').toLowerCase();
  const { traceId = event, requestId, parent = { spanId: event.slice(16), flags: '01' } } = readTrace(said);
  return {
    traceparent: `00-${traceId}-${parent.spanId}-${parent.flags}`,
    ...(requestId === undefined ? {} : { 'x-request-id': requestId }),
  };
}
