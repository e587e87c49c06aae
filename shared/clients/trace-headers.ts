import { createHash, randomBytes, randomUUID } from 'node:crypto';

/**
 * `X-Request-ID` and a W3C `traceparent` for one call.
 *
 * @param traceId  the caller's id: a trace id of 32 hexadecimal digits, a UUID, or any text (then hashed into a trace id)
 */
export function traceHeaders(traceId: string | undefined): { 'x-request-id': string; traceparent: string } {
  const given = traceId ?? randomUUID();
  // What no header can carry would fail the call, and many such calls would open the breaker for everybody.
  const requestId = /^[\x21-\x7e][\x20-\x7e]{0,199}$/.test(given) ? given : traceOf(given);
  return { 'x-request-id': requestId, traceparent: `00-${traceOf(given)}-${randomBytes(8).toString('hex')}-01` };
}

function traceOf(requestId: string): string {
  const digits = requestId.replaceAll('-', '').toLowerCase();
  if (/^[0-9a-f]{32}$/.test(digits) && !/^0+$/.test(digits)) return digits;
  return createHash('sha256').update(requestId).digest('hex').slice(0, 32);
}
