import type { Telemetry } from 'bullmq';
import { type Trace, writeTrace } from './trace.ts';

/** What is known of a span. Names and values by the conventions of OpenTelemetry; never a person, an address or a secret. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** A span that begins. */
export interface SpanStart {
  readonly name: string;
  readonly kind: 'server' | 'client' | 'producer' | 'consumer' | 'internal';
  readonly attributes?: SpanAttributes;
  /**
   * What it goes on from, as `shared/trace.ts` writes it. The span of the moment is nearer where it is of the same trace, and
   * linked to where it is of another; left out, it goes on from that one.
   */
  readonly after?: string | undefined;
  /** Others that led to it, written alike. */
  readonly links?: readonly string[];
  /** Its id, 16 hexadecimal digits, where a repeat has to have the same; drawn unless said. */
  readonly spanId?: string;
}

/** A span that is under way. */
export interface Span {
  /** Its own `traceparent`, for who goes on from it. */
  readonly traceparent: string;
  note(attributes: SpanAttributes): void;
  /** It failed. @param type  a code or the name of an error, not its message: those may name people */
  fail(type: string): void;
  end(): void;
  /** Runs `work` as what happens in it. */
  within<T>(work: () => T): T;
}

/** Who records spans: `shared/run/tracing.ts` while an endpoint is set, nobody else. */
export interface SpanRecorder {
  begin(start: SpanStart): Span;
  /** The span of the moment. */
  current(): (Span & Required<Pick<Trace, 'traceId' | 'parent'>>) | undefined;
  /** Runs `work` as what goes on from a text of `shared/trace.ts`. */
  after<T>(trace: string, work: () => T): T;
  /** What travels with a job for a text of `shared/trace.ts`; undefined where that names no trace. */
  metadataOf(trace: string): string | undefined;
  /** The option of a queue or a worker. */
  readonly telemetry: Telemetry;
}

let recorder: SpanRecorder | undefined;

/** From now on spans are recorded; undefined: no longer. One recorder a process, as there is one stack of calls. */
export function recordSpans(by: SpanRecorder | undefined): void {
  recorder = by;
}

/** The recorder, if there is one. */
export function spanRecorder(): SpanRecorder | undefined {
  return recorder;
}

/** Runs `work` in a span that ends with it. Without a recorder it is just run: `start` is not even asked. */
export async function spanned<T>(start: () => SpanStart, work: (span: Span | undefined) => Promise<T>): Promise<T> {
  if (recorder === undefined) return work(undefined);
  const span = recorder.begin(start());
  try {
    return await span.within(() => work(span));
  } catch (error) {
    span.fail(failureOf(error));
    throw error;
  } finally {
    span.end();
  }
}

/** The same for what only matters within something: where no span is under way, none begins. */
export function spannedWithin<T>(start: () => SpanStart, work: () => Promise<T>): Promise<T> {
  return recorder?.current() === undefined ? work() : spanned(start, work);
}

/**
 * Runs what is done for several at once. Each trace gets a span of its own, so that all are whole; what happens in there belongs to
 * the first, which the others link to.
 *
 * @param traces  what each goes on from
 */
export function spannedGroup<T>(name: string, traces: readonly (string | undefined)[], work: () => Promise<T>): Promise<T> {
  const by = recorder;
  if (by === undefined) return work();
  const [first, ...others] = new Set(traces.filter((trace) => trace !== undefined));
  const same = { name, kind: 'internal', attributes: { 'scheduler.group.size': traces.length } } as const;
  return spanned(
    () => ({ ...same, after: first, links: others }),
    async () => {
      const beside = others.map((after) => by.begin({ ...same, after }));
      try {
        return await work();
      } finally {
        for (const span of beside) span.end();
      }
    },
  );
}

/** What follows a request from here on: the span of the moment where there is one, else what was given. */
export function traceNow(given: Trace): string {
  const now = recorder?.current();
  return writeTrace(now === undefined ? given : { requestId: given.requestId, traceId: now.traceId, parent: now.parent });
}

/** The kind of a failure, without its words. */
export function failureOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return typeof error;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error instanceof Error ? error.name : 'Error';
}
