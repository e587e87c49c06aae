import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { context, DiagLogLevel, diag, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Logger } from '../logger.ts';
import { recordSpans } from '../spans.ts';
import { createCautiousExporter, SAY_EVERY_MS } from './cautious-exporter.ts';
import { ChosenIds, createSpanRecorder } from './span-recorder.ts';

export interface TracingOptions {
  /** Name of the process. */
  readonly name: string;
  /** Base address of a collector; `/v1/traces` is added. */
  readonly endpoint: string;
  readonly logger: Logger;
  /** How long spans are gathered before they are sent, ms. */
  readonly gatherMs?: number;
}

/** Spans that are being recorded. */
export interface Tracing {
  /** Sends what is left, for two seconds at the most, and records nothing more. Never rejects. */
  close(): Promise<void>;
}

const GATHER_MS = 1_000;
/** Longest time one sending may take, its repeats included, ms. */
const SEND_MS = 5_000;
const FLUSH_MS = 2_000;
/** Spans kept while the collector is away, some 2 KB each; above it the newest are dropped. */
const MOST_SPANS = 4_096;

/**
 * Begins to record spans and to send them to a collector by OTLP over HTTP, as JSON.
 *
 * Loaded only where an endpoint is set. Nothing waits for the collector: spans are gathered in memory and sent aside.
 */
export function openTracing({ name, endpoint, logger, gatherMs = GATHER_MS }: TracingOptions): Tracing {
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces`, timeoutMillis: SEND_MS, concurrencyLimit: 2 });
  const ids = new ChosenIds();
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': name,
      'service.namespace': 'cloudphone-scheduler',
      'service.instance.id': randomUUID(),
    }),
    idGenerator: ids,
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: createCautiousExporter(exporter, logger),
        scheduledDelayMillis: gatherMs,
        exportTimeoutMillis: SEND_MS + 1_000,
        maxQueueSize: MOST_SPANS,
      }),
    ],
  });
  // What fails in sending is said by the exporter.
  setGlobalErrorHandler((error) => logger.debug({ err: error }, 'spans could not be sent'));
  sayWhatIsDropped(logger);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  recordSpans(createSpanRecorder(provider.getTracer('cloudphone-scheduler'), ids));
  logger.info('spans are recorded');
  return { close: () => close(provider, logger) };
}

/** OpenTelemetry drops spans where more are recorded than can be sent, and says so each time. */
function sayWhatIsDropped(logger: Logger): void {
  let saidAt = Number.NEGATIVE_INFINITY;
  const say = (message: string) => {
    if (performance.now() - saidAt < SAY_EVERY_MS) return;
    saidAt = performance.now();
    logger.warn({ said: message }, 'spans are lost; allocations go on');
  };
  const unsaid = () => undefined;
  const options = { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true };
  diag.setLogger({ error: say, warn: say, info: unsaid, debug: unsaid, verbose: unsaid }, options);
}

async function close(provider: TracerProvider, logger: Logger): Promise<void> {
  recordSpans(undefined);
  const late = new AbortController();
  const flushed = provider.shutdown().catch((error: unknown) => logger.debug({ err: error }, 'the last spans could not be sent'));
  await Promise.race([flushed, pause(FLUSH_MS, undefined, { signal: late.signal })]);
  late.abort();
  trace.disable();
  propagation.disable();
  context.disable();
  diag.disable();
}
