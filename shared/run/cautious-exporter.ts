import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { Logger } from '../logger.ts';

/** How often a collector that is away is spoken of, ms. */
export const SAY_EVERY_MS = 60_000;

/** Says that spans were lost: at once, then at most once a minute with how many, and when they arrive again. */
export function createCautiousExporter(exporter: SpanExporter, logger: Logger, sayEveryMs: number = SAY_EVERY_MS): SpanExporter {
  let lost = 0;
  let saidAt = Number.NEGATIVE_INFINITY;

  function note(spans: readonly ReadableSpan[], error: Error | undefined): void {
    if (error === undefined) {
      if (saidAt > Number.NEGATIVE_INFINITY) logger.info({ lost }, 'spans are sent again');
      [lost, saidAt] = [0, Number.NEGATIVE_INFINITY];
      return;
    }
    lost += spans.length;
    if (performance.now() - saidAt < sayEveryMs) return;
    logger.warn({ lost, err: error }, 'spans cannot be sent and are lost; allocations go on');
    [lost, saidAt] = [0, performance.now()];
  }

  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        note(spans, result.code === 0 ? undefined : (result.error ?? new Error('the collector gave no reason')));
        done(result);
      }),
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  };
}
