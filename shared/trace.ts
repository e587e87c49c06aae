/** Who asked first, as it follows a request into jobs, rows, events and calls. Either may be missing, not both. */
export interface Trace {
  /** The `X-Request-ID`: 1..128 visible ASCII characters. */
  readonly requestId: string | undefined;
  /** The trace id of a W3C `traceparent`: 32 hexadecimal digits. */
  readonly traceId: string | undefined;
  /** What led here within the trace; only where spans are recorded (`shared/spans.ts`). */
  readonly parent?: TraceParent | undefined;
}

/** The rest of a W3C `traceparent`. */
export interface TraceParent {
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** Two hexadecimal digits; `01` is "recorded". */
  readonly flags: string;
}

const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;
const BOTH = /^([0-9a-f]{32}) (.+)$/s;
const WITH_PARENT = /^00-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(?: (.+))?$/s;

/** All of it as one text, which is what travels; an id that is the trace's own, as a UUID, is not said twice. */
export function writeTrace({ requestId, traceId, parent }: Trace): string {
  if (traceId !== undefined && parent !== undefined)
    return `00-${traceId}-${parent.spanId}-${parent.flags}${requestId === undefined ? '' : ` ${requestId}`}`;
  if (requestId === undefined || traceId === undefined) return requestId ?? traceId ?? '';
  return hexOf(requestId) === traceId ? requestId : `${traceId} ${requestId}`;
}

/** Reads what `writeTrace` wrote, or any text of a caller: then it is the request's id, and names a trace if it looks like one. */
export function readTrace(text: string): Trace {
  const [whole, ofParent, spanId = '', flags = '', said] = WITH_PARENT.exec(text) ?? [];
  if (whole !== undefined) return { requestId: said, traceId: ofParent, parent: { spanId, flags } };
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
