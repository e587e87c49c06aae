import type { BreakerWatcher } from '../../shared/clients/breaker-board.ts';
import type { CallerTuning } from '../../shared/clients/call.ts';
import { createHttpCaller, type HttpCaller } from '../../shared/clients/http-caller.ts';
import { NEIGHBOURS, type Neighbour } from '../../shared/clients/neighbour.ts';
import { createServiceToken } from '../../shared/clients/service-token.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';

/** Key of the service tokens of all tests. */
export const SERVICE_SECRET = 'the secret of the services in tests';

/** Room for a call that is meant to succeed on a busy machine, ms. */
export const ENOUGH_MS = 5_000;

/** A caller with short pauses, and what it counts. */
export interface TestCaller extends HttpCaller {
  readonly metrics: Metrics;
}

/** A caller of a stand-in. Pauses are short; everything else is as in production unless said otherwise. */
export function openCaller(
  name: Neighbour['name'],
  baseUrl: string,
  options: { tuning?: Partial<CallerTuning>; retries?: number; timeoutMs?: number; secret?: string; onBreaker?: BreakerWatcher } = {},
): TestCaller {
  const metrics = createMetrics('test');
  const { retries = NEIGHBOURS[name].retries, timeoutMs = NEIGHBOURS[name].timeoutMs } = options;
  const caller = createHttpCaller({
    neighbour: { name, baseUrl, retries, timeoutMs },
    token: createServiceToken(options.secret ?? SERVICE_SECRET),
    logger: createLogger('test', 'silent'),
    metrics,
    onBreaker: options.onBreaker,
    tuning: { retryBaseMs: 5, retryMaxMs: 20, ...options.tuning },
  });
  return { ...caller, metrics };
}

/** The value of a metric with these labels (of a histogram: how many were observed), 0 if it was never touched. */
export async function metricValue(metrics: Metrics, name: string, labels: Readonly<Record<string, string>>): Promise<number> {
  const metric = await metrics.registry.getSingleMetric(name)?.get();
  const rows: readonly { value: number; metricName?: string; labels: Readonly<Record<string, unknown>> }[] = metric?.values ?? [];
  const row = rows.find(
    (value) =>
      (value.metricName ?? name).replace(/_count$/, '') === name &&
      Object.entries(labels).every(([label, text]) => value.labels[label] === text),
  );
  return row?.value ?? 0;
}
