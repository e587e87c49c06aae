import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { traceNow } from '../shared/spans.ts';
import { writeTrace } from '../shared/trace.ts';

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);

/**
 * The id of a request: the caller's `X-Request-ID` if it is 1..128 visible ASCII characters; else the trace id of its
 * `traceparent`, written as a UUID, so that both name the same; else a new UUID.
 */
export function requestIdOf(headers: IncomingHttpHeaders): string {
  const said = headers['x-request-id'];
  if (typeof said === 'string' && REQUEST_ID.test(said)) return said;
  const trace = traceOf(headers);
  return trace === undefined ? randomUUID() : trace.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** What follows a request into jobs, events and calls: its own id and the trace it belongs to. */
export function traceIdOf(headers: IncomingHttpHeaders, requestId: string): string {
  return traceNow({ requestId, traceId: traceOf(headers) });
}

/** What the span of a request goes on from: the caller's, whole; or a trace that begins here and is named as the request is. */
export function traceBefore(headers: IncomingHttpHeaders, requestId: string): string {
  const [, traceId, spanId = NO_SPAN, flags = ''] = TRACEPARENT.exec(String(headers['traceparent'])) ?? [];
  const isWhole = traceId !== undefined && traceId !== NO_TRACE && spanId !== NO_SPAN;
  return writeTrace({ requestId, traceId: traceOf(headers), ...(isWhole ? { parent: { spanId, flags } } : {}) });
}

/** The trace id of a well-formed W3C `traceparent`, 32 hexadecimal digits. */
function traceOf(headers: IncomingHttpHeaders): string | undefined {
  const said = headers['traceparent'];
  const trace = typeof said === 'string' ? TRACEPARENT.exec(said)?.[1] : undefined;
  return trace === NO_TRACE ? undefined : trace;
}
