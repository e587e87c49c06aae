const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
const TRACE_ID = /^[0-9a-f]{32}$/;

/**
 * The `traceparent` header of a message (https://www.w3.org/TR/trace-context/).
 *
 * A trace that led to the event goes on; an event without one starts its own. Both are derived, so a repeat carries the same.
 *
 * @param traceId  what was stored with the event: a whole traceparent, a trace id (32 hex digits, dashes ignored), or nothing
 * @param eventId  a UUID
 */
export function traceparentOf(traceId: string | undefined, eventId: string): string {
  const said = traceId?.toLowerCase() ?? '';
  if (TRACEPARENT.test(said)) return said;
  const event = eventId.replaceAll('-', '').toLowerCase();
  const trace = said.replaceAll('-', '');
  return `00-${TRACE_ID.test(trace) ? trace : event}-${event.slice(16)}-01`;
}
