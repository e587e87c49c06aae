import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Every metric of the product, made once per process and handed to whoever counts. */
export interface Metrics {
  readonly registry: Registry;
  readonly decisions: Counter<'outcome' | 'code'>;
  readonly allocationsEnded: Counter<'reason'>;
  readonly extensions: Counter<'outcome' | 'code' | 'automatic'>;
  readonly requestWait: Histogram<'tier'>;
  readonly waitlistWait: Histogram<'tier'>;
  readonly groupSize: Histogram<'group'>;
  readonly groupDuration: Histogram<'group'>;
  readonly jobDuration: Histogram<'queue' | 'outcome'>;
  readonly jobsStalled: Counter<'queue'>;
  readonly workerRestarts: Counter<'queue'>;
  readonly lockDeferrals: Counter<string>;
  readonly availableCache: Counter<'result'>;
  readonly neighbourCalls: Histogram<'neighbour' | 'outcome'>;
  readonly breakerState: Gauge<'neighbour'>;
  readonly neighbourCache: Counter<'cache' | 'result'>;
  readonly outboxPending: Gauge<'channel'>;
  readonly outboxPublished: Counter<'outcome'>;
  readonly ledgerOwedBills: Gauge;
  readonly ledgerOwedSeconds: Gauge;
  readonly deadLetters: Gauge<'kind'>;
  readonly waiting: Gauge<'tier'>;
  readonly waitingOldest: Gauge<'tier'>;
  readonly liveAllocations: Gauge;
  readonly queueJobs: Gauge<'queue' | 'state'>;
  readonly expiryLateness: Histogram;
  readonly deliveries: Counter<'kind' | 'outcome'>;
  readonly stuckEnds: Counter;
  readonly eventsConsumed: Counter<'queue' | 'outcome'>;
  readonly reconciled: Counter<'repair'>;
  readonly waitEstimates: Counter<'within'>;
  readonly httpDuration: Histogram<'method' | 'route' | 'status'>;
  readonly reservations: Counter<'change'>;
  readonly scheduledRuns: Counter<'scheduled_job' | 'outcome'>;
}

/** Makes a registry of its own, so that several processes' worth of metrics can live in one test process. */
export function createMetrics(processName: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ process: processName });
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: L[]) => new Counter<L>({ name, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: L[]) => new Gauge<L>({ name, help, labelNames, registers });
  const histogram = <L extends string>(name: string, help: string, labelNames: L[], buckets = SECONDS) =>
    new Histogram<L>({ name, help, labelNames, buckets, registers });
  return {
    registry,
    decisions: counter('scheduler_decisions_total', 'Decided allocation requests by outcome and code', ['outcome', 'code']),
    allocationsEnded: counter('scheduler_allocations_ended_total', 'Ended allocations by reason', ['reason']),
    extensions: counter('scheduler_extensions_total', 'Extensions of allocations by outcome and code, asked for or automatic', [
      'outcome',
      'code',
      'automatic',
    ]),
    requestWait: histogram(
      'scheduler_request_wait_seconds',
      'Time from acceptance to decision of what did not wait for a device, by tier',
      ['tier'],
    ),
    waitlistWait: histogram(
      'scheduler_waitlist_wait_seconds',
      'Time from acceptance to decision of what waited for a device, by tier',
      ['tier'],
      [1, 5, 15, 60, 300, 900, 1_800, 3_600, 7_200],
    ),
    groupSize: histogram('scheduler_group_size', 'Items committed in one transaction', ['group'], [1, 2, 5, 10, 20, 50, 100, 200, 500]),
    groupDuration: histogram('scheduler_group_seconds', 'Duration of one group transaction', ['group']),
    jobDuration: histogram('scheduler_job_seconds', 'Duration of a job by queue and outcome', ['queue', 'outcome']),
    jobsStalled: counter('scheduler_jobs_stalled_total', 'Jobs taken back from a worker that fell silent', ['queue']),
    workerRestarts: counter('scheduler_worker_restarts_total', 'Queue workers restarted by the watchdog', ['queue']),
    lockDeferrals: counter(
      'scheduler_lock_deferrals_total',
      'Requests put off because another worker decides for the same user or device',
      [],
    ),
    availableCache: counter('scheduler_available_cache_total', 'Reads of the available list by result (hit, miss)', ['result']),
    neighbourCalls: histogram('scheduler_neighbour_call_seconds', 'Calls to neighbours by outcome', ['neighbour', 'outcome']),
    breakerState: gauge('scheduler_breaker_open', 'Breaker of a neighbour: 0 closed, 0.5 half open, 1 open', ['neighbour']),
    neighbourCache: counter('scheduler_neighbour_cache_total', 'Reads of cached quotas and balances by result', ['cache', 'result']),
    outboxPending: gauge('scheduler_outbox_pending', 'Outbox rows not yet delivered', ['channel']),
    outboxPublished: counter('scheduler_outbox_published_total', 'Events published by outcome', ['outcome']),
    ledgerOwedBills: gauge('scheduler_ledger_owed_bills', 'Bills the billing-service has not taken, dead ones included', []),
    ledgerOwedSeconds: gauge('scheduler_ledger_owed_seconds', 'Held seconds of the bills that have not been taken', []),
    deadLetters: gauge('scheduler_dead_letters', 'Deliveries that are not tried again until somebody says so', ['kind']),
    waiting: gauge('scheduler_waiting', 'Requests that wait for a device, by tier', ['tier']),
    waitingOldest: gauge('scheduler_waiting_oldest_seconds', 'Age of the request that has waited longest, by tier', ['tier']),
    liveAllocations: gauge('scheduler_allocations_live', 'Devices that are held', []),
    queueJobs: gauge('scheduler_queue_jobs', 'Jobs by queue and state', ['queue', 'state']),
    expiryLateness: histogram(
      'scheduler_expiry_lateness_seconds',
      'From the end of an allocation that ran out to the moment it was ended',
      [],
    ),
    eventsConsumed: counter('scheduler_events_consumed_total', 'Events of other services by queue and outcome', ['queue', 'outcome']),
    deliveries: counter('scheduler_deliveries_total', 'Deliveries to neighbours by kind and outcome', ['kind', 'outcome']),
    stuckEnds: counter('scheduler_stuck_ends_total', 'Attempts to end a due allocation that the database refused', []),
    reconciled: counter('scheduler_reconciled_total', 'Repairs made by the reconciler', ['repair']),
    waitEstimates: counter(
      'scheduler_wait_estimate_total',
      'Who waited, by the estimate they had a device within (p50, p90, late); without one until after p90 is late',
      ['within'],
    ),
    httpDuration: histogram('scheduler_http_seconds', 'HTTP answers by route and status', ['method', 'route', 'status']),
    reservations: counter('scheduler_reservations_total', 'What became of reservations: started, reminded, expired, failed and so on', [
      'change',
    ]),
    // Not `job`: Prometheus has a label of that name of its own and would rename ours.
    scheduledRuns: counter('scheduler_scheduled_runs_total', 'Runs of scheduled jobs by outcome', ['scheduled_job', 'outcome']),
  };
}
