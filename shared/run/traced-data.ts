import { spanRecorder, traceNow } from '../spans.ts';
import { readTrace } from '../trace.ts';

/** The payload of a job with the span of the moment in its `traceId`: what the job writes and calls goes on from there. */
export function tracedData(data: unknown): unknown {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return data;
  return { ...data, traceId: traceNow(readTrace(saidBy(data) ?? '')) };
}

/** What BullMQ takes for the context of a job that says which trace it belongs to; undefined where it says none. */
export function tracedMetadata(data: unknown): string | undefined {
  const said = saidBy(data);
  return said === undefined ? undefined : spanRecorder()?.metadataOf(said);
}

function saidBy(data: unknown): string | undefined {
  if (typeof data !== 'object' || data === null || !('traceId' in data)) return undefined;
  return typeof data.traceId === 'string' ? data.traceId : undefined;
}
