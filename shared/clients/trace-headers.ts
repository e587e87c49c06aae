import { createHash, randomBytes, randomUUID } from 'node:crypto';

/**
 * `X-Request-ID` and a W3C `traceparent` for one call.
 *
 * @param traceId  the caller's id: a trace id of 32 hexadecimal digits, a UUID, or any text (then hashed into a trace id)
 */
export function traceHeaders(traceId: string | undefined): { 'x-request-id': string; traceparent: string } {
  const requestId = traceId ?? randomUUID();
  return { 'x-request-id': requestId, traceparent: `00-${traceOf(requestId)}-${randomBytes(8).toString('hex')}-01` };
}

function traceOf(requestId: string): string {
  const digits = requestId.replaceAll('-', '').toLowerCase();
  if (/^[0-9a-f]{32}$/.test(digits) && !/^0+$/.test(digits)) return digits;
  return createHash('sha256').update(requestId).digest('hex').slice(0, 32);
}
