import type { Context } from '@opentelemetry/api';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { type Span, SpanKind, type Telemetry } from 'bullmq';
import { BullMQOtel } from 'bullmq-otel';

type Attributes = Parameters<Span['setAttributes']>[0];

/** What BullMQ calls an attribute, and what the conventions for messaging call it. */
const MESSAGING: ReadonlyMap<string, string> = new Map([
  ['bullmq.queue.name', 'messaging.destination.name'],
  ['bullmq.job.id', 'messaging.message.id'],
  ['bullmq.job.bulk.count', 'messaging.batch.message_count'],
]);

/**
 * `bullmq-otel` for jobs put into queues and taken out of them. What BullMQ says besides is left out: its looks for the next
 * job, a span each whether there is one or not, and the outcomes and errors of jobs, which name users.
 */
export function createQueueTelemetry(): Telemetry<Context> {
  const { tracer, contextManager } = new BullMQOtel({ tracerName: 'bullmq' });
  return {
    tracer: {
      startSpan: (name, options, context) => {
        if (options?.kind === SpanKind.PRODUCER) return discreet(tracer.startSpan(name, options, context), 'send');
        if (options?.kind === SpanKind.CONSUMER) return discreet(tracer.startSpan(name, options, context), 'process');
        return UNRECORDED;
      },
    },
    contextManager: {
      active: () => contextManager.active(),
      with: (context, work) => contextManager.with(context, work),
      getMetadata: (context) => contextManager.getMetadata(context),
      fromMetadata: (active, metadata) => contextManager.fromMetadata(active, metadata),
      root: () => ROOT_CONTEXT,
    },
  };
}

/** The span without what names people, and with the words of the conventions. */
function discreet(span: Span<Context>, operation: 'send' | 'process'): Span<Context> {
  span.setAttributes({ 'messaging.system': 'bullmq', 'messaging.operation.type': operation });
  const note = (attributes: Attributes) => {
    const said = Object.entries(attributes).map(([name, value]) => [MESSAGING.get(name) ?? name, value] as const);
    span.setAttributes(Object.fromEntries(said));
  };
  return {
    setSpanOnContext: (context) => span.setSpanOnContext(context),
    setAttribute: (name, value) => note({ [name]: value }),
    setAttributes: note,
    addEvent: (name) => span.addEvent(name),
    recordException: (error) => note({ 'error.type': typeof error === 'object' ? (error.name ?? 'Error') : 'Error' }),
    end: () => span.end(),
  };
}

const UNRECORDED: Span<Context> = {
  setSpanOnContext: (context) => context,
  setAttribute: () => undefined,
  setAttributes: () => undefined,
  addEvent: () => undefined,
  recordException: () => undefined,
  end: () => undefined,
};
