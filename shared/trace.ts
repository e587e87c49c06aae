/** Who asked first, as it follows a request into jobs, rows, events and calls. Either may be missing, not both. */
export interface Trace {
  /** The `X-Request-ID`: 1..128 visible ASCII characters. */
  readonly requestId: string | undefined;
  /** The trace id of a W3C `traceparent`: 32 hexadecimal digits. */
  readonly traceId: string | undefined;
}

const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;
const BOTH = /^([0-9a-f]{32}) (.+)$/s;

/** Both as one text, which is what travels; an id that is the trace's own, as a UUID, is not said twice. */
export function writeTrace({ requestId, traceId }: Trace): string {
  if (requestId === undefined || traceId === undefined) return requestId ?? traceId ?? '';
  return hexOf(requestId) === traceId ? requestId : `${traceId} ${requestId}`;
}

/** Reads what `writeTrace` wrote, or any text of a caller: then it is the request's id, and names a trace if it looks like one. */
export function readTrace(text: string): Trace {
  const [, traceId = hexOf(text), requestId = text] = BOTH.exec(text) ?? [];
  return {
    requestId: requestId === '' ? undefined : requestId,
    traceId: traceId !== undefined && TRACE_ID.test(traceId) ? traceId : undefined,
  };
}

function hexOf(text: string): string | undefined {
  const digits = text.replaceAll('-', '').toLowerCase();
  return TRACE_ID.test(digits) ? digits : undefined;
}
