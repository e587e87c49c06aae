import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readTrace } from '../trace.ts';

/**
 * `X-Request-ID` and a W3C `traceparent` for one call.
 *
 * @param trace  what follows the request (`shared/trace.ts`); a text without a trace id is hashed into one
 */
export function traceHeaders(trace: string | undefined): { 'x-request-id': string; traceparent: string } {
  const given = trace ?? randomUUID();
  const { requestId = '', traceId = hashOf(given), parent } = readTrace(given);
  // What no header can carry would fail the call, and many such calls would open the breaker for everybody.
  const said = /^[\x21-\x7e][\x20-\x7e]{0,199}$/.test(requestId) ? requestId : traceId;
  const { spanId, flags } = parent ?? { spanId: randomBytes(8).toString('hex'), flags: '01' };
  return { 'x-request-id': said, traceparent: `00-${traceId}-${spanId}-${flags}` };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
