import type { BillingClient } from '../../shared/clients/billing-client.ts';
import type { CallAnswer } from '../../shared/clients/neighbour.ts';
import type { UsageClient } from '../../shared/clients/usage-client.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Metrics } from '../../shared/metrics.ts';
import type { Pause } from '../../shared/store/delivery-attempt.ts';
import type { Store } from '../../shared/store/store.ts';

/** How deliveries are repeated. Times in ms. */
export interface DeliveryPolicy {
  /** Attempts after which a row becomes a dead letter. */
  readonly maxAttempts: number;
  readonly pause: Pause;
  /** Until a row whose neighbour was not even asked (its breaker is open) is tried again; such a try does not count. */
  readonly notAskedPauseMs: number;
  /** How long a claimed row belongs to its job; above the job's own deadline. */
  readonly leaseMs: number;
  /** Longest call. */
  readonly callMs: number;
}

export interface DeliveryDeps {
  readonly store: Store;
  readonly usage: UsageClient;
  readonly billing: BillingClient;
  readonly policy: DeliveryPolicy;
  readonly metrics: Pick<Metrics, 'deliveries'>;
  readonly logger: Logger;
}

/** What a job did, for the log and the dashboard. Counts of rows. */
export interface DeliveryOutcome {
  readonly delivered: number;
  readonly failed: number;
  readonly dead: number;
  readonly givenBack: number;
}

export const NOTHING_DELIVERED: DeliveryOutcome = { delivered: 0, failed: 0, dead: 0, givenBack: 0 };

/** A row and what its neighbour said. */
export interface Answered {
  readonly id: string;
  readonly answer: CallAnswer<unknown>;
}

/** The answers by what they mean for the row. */
export interface SortedAnswers {
  readonly delivered: readonly string[];
  readonly givenBack: readonly string[];
  readonly failed: readonly {
    readonly id: string;
    readonly reason: string;
    readonly answered: boolean;
    readonly retryAfterMs: number | undefined;
  }[];
}

/** Taken, not even asked, or anything else: which counts as an attempt, a refusal as much as an outage. */
export function sortAnswers(answers: readonly Answered[]): SortedAnswers {
  const delivered: string[] = [];
  const givenBack: string[] = [];
  const failed: SortedAnswers['failed'][number][] = [];
  for (const { id, answer } of answers) {
    if (answer.kind === 'ok') delivered.push(id);
    else if (answer.kind === 'refused') failed.push({ id, reason: answer.reason, answered: true, retryAfterMs: undefined });
    else if (!answer.asked) givenBack.push(id);
    else failed.push({ id, reason: answer.reason, answered: false, retryAfterMs: answer.retryAfterMs });
  }
  return { delivered, givenBack, failed };
}

/** Counts an outcome in the metrics and adds it to what the job did before. */
export function addUp(
  deps: Pick<DeliveryDeps, 'metrics'>,
  kind: 'usage' | 'billing' | 'notice',
  so: DeliveryOutcome,
  now: DeliveryOutcome,
): DeliveryOutcome {
  for (const outcome of ['delivered', 'failed', 'dead', 'givenBack'] as const) {
    if (now[outcome] > 0) deps.metrics.deliveries.inc({ kind, outcome }, now[outcome]);
  }
  return {
    delivered: so.delivered + now.delivered,
    failed: so.failed + now.failed,
    dead: so.dead + now.dead,
    givenBack: so.givenBack + now.givenBack,
  };
}
