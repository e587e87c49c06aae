import {
  type Context,
  context,
  isSpanContextValid,
  type Link,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { type IdGenerator, RandomIdGenerator } from '@opentelemetry/sdk-trace';
import type { Span, SpanRecorder, SpanStart } from '../spans.ts';
import { readTrace } from '../trace.ts';
import { createQueueTelemetry } from './queue-telemetry.ts';

const KINDS: Readonly<Record<SpanStart['kind'], SpanKind>> = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

/** Draws ids, but those that follow from what the span is about. */
export class ChosenIds implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  #next: { readonly traceId?: string | undefined; readonly spanId?: string | undefined } = {};

  /** Runs `begin`, which begins one span, with these ids where it would draw some. */
  with<T>(next: { readonly traceId?: string | undefined; readonly spanId?: string | undefined }, begin: () => T): T {
    this.#next = next;
    try {
      return begin();
    } finally {
      this.#next = {};
    }
  }

  generateTraceId = (): string => this.#next.traceId ?? this.#random.generateTraceId();
  generateSpanId = (): string => this.#next.spanId ?? this.#random.generateSpanId();
}

/** Records what the product calls a span as one of OpenTelemetry. */
export function createSpanRecorder(tracer: Tracer, ids: ChosenIds): SpanRecorder {
  return {
    begin: (start) => begin(tracer, ids, start),
    current: () => {
      const span = trace.getActiveSpan();
      if (span === undefined || !isSpanContextValid(span.spanContext())) return undefined;
      const { traceId, spanId, traceFlags } = span.spanContext();
      return { ...toSpan(span, context.active()), traceId, parent: { spanId, flags: flagsOf(traceFlags) } };
    },
    after: (text, work) => {
      const parent = parentOf(text);
      return parent === undefined ? work() : context.with(trace.setSpanContext(ROOT_CONTEXT, parent), work);
    },
    metadataOf: (text) => {
      const parent = parentOf(text);
      return parent && JSON.stringify({ traceparent: traceparentOf(parent) });
    },
    telemetry: createQueueTelemetry(),
  };
}

function begin(tracer: Tracer, ids: ChosenIds, { name, kind, attributes = {}, after, links = [], spanId }: SpanStart): Span {
  const now = trace.getActiveSpan()?.spanContext();
  const said = readTrace(after ?? '');
  const isNear = now !== undefined && (said.traceId === undefined || said.traceId === now.traceId);
  const linked = [...links.flatMap((link) => parentOf(link) ?? []), ...(isNear || now === undefined ? [] : [now])];
  const within = isNear ? context.active() : contextAfter(after);
  const options = { kind: KINDS[kind], attributes, links: linked.map((other): Link => ({ context: other })) };
  const span = ids.with({ traceId: said.traceId, spanId }, () => tracer.startSpan(name, options, within));
  return toSpan(span, trace.setSpan(within, span));
}

/** A trace that names nobody in it begins with the span. */
function contextAfter(text: string | undefined): Context {
  const parent = text === undefined || readTrace(text).parent === undefined ? undefined : parentOf(text);
  return parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
}

/** Where a text names a trace but nobody in it, one follows from the trace: nobody recorded it, but all find the same. */
function parentOf(text: string): SpanContext | undefined {
  const { traceId, parent } = readTrace(text);
  if (traceId === undefined) return undefined;
  const { spanId, flags } = parent ?? { spanId: traceId.slice(16), flags: '01' };
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return isSpanContextValid(context) ? context : undefined;
}

function toSpan(span: OtelSpan, inside: Context): Span {
  return {
    traceparent: traceparentOf(span.spanContext()),
    note: (attributes) => void span.setAttributes(attributes),
    fail: (type) => void span.setAttribute('error.type', type).setStatus({ code: SpanStatusCode.ERROR }),
    end: () => span.end(),
    within: (work) => context.with(inside, work),
  };
}

function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${flagsOf(traceFlags)}`;
}

function flagsOf(flags: number): string {
  return flags.toString(16).padStart(2, '0');
}
