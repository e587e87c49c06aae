/** A picture of one question. */
export interface Panel {
  readonly title: string;
  readonly about: string;
  /** Grafana's name of the unit. */
  readonly unit: 'short' | 's' | 'percentunit' | 'ops' | 'bytes';
  /** One number, or lines over time. */
  readonly kind: 'stat' | 'timeseries';
  /** PromQL, and how a line is named. */
  readonly lines: readonly { readonly expr: string; readonly legend: string }[];
}

/** Panels that belong together. */
export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

const rate = (counter: string, by: string) => `sum by (${by}) (rate(${counter}[5m]))`;
const quantile = (q: number, histogram: string, by = '') =>
  `histogram_quantile(${q}, sum by (le${by === '' ? '' : `, ${by}`}) (rate(${histogram}_bucket[5m])))`;
const quantiles = (histogram: string) =>
  [0.5, 0.95, 0.99].map((q) => ({ expr: quantile(q, histogram), legend: `p${Math.round(q * 100)}` }));

const stat = (title: string, about: string, expr: string, unit: Panel['unit'] = 'short'): Panel => ({
  title,
  about,
  unit,
  kind: 'stat',
  lines: [{ expr, legend: '' }],
});
const series = (title: string, unit: Panel['unit'], lines: Panel['lines'], about = ''): Panel => ({
  title,
  about,
  unit,
  kind: 'timeseries',
  lines,
});

/** What Grafana shows, in the order of the way of a request. */
export const ROWS: readonly Row[] = [
  {
    title: 'At a glance',
    panels: [
      stat('Devices held', 'Live allocations', 'sum(scheduler_allocations_live)'),
      stat('Waiting for a device', 'Of all tiers', 'sum(scheduler_waiting)'),
      stat('Decisions a second', 'Granted and refused', 'sum(rate(scheduler_decisions_total[1m]))', 'ops'),
      stat('Wait p95', 'From acceptance to decision', quantile(0.95, 'scheduler_request_wait_seconds'), 's'),
      stat('Dead letters', 'Nobody tries them again by himself', 'sum(scheduler_dead_letters)'),
      stat('Bills owed', 'Not taken by the billing-service yet', 'sum(scheduler_ledger_owed_bills)'),
    ],
  },
  {
    title: 'Requests',
    panels: [
      series('Decisions by outcome', 'ops', [{ expr: rate('scheduler_decisions_total', 'outcome, code'), legend: '{{outcome}} {{code}}' }]),
      series('From acceptance to decision', 's', quantiles('scheduler_request_wait_seconds')),
      series('HTTP answers by status', 'ops', [{ expr: rate('scheduler_http_seconds_count', 'status'), legend: '{{status}}' }]),
      series('HTTP p95 by route', 's', [
        { expr: quantile(0.95, 'scheduler_http_seconds', 'method, route'), legend: '{{method}} {{route}}' },
      ]),
      series('Hits of the list of available devices', 'percentunit', [
        {
          expr: 'sum(rate(scheduler_available_cache_total{result="hit"}[5m])) / sum(rate(scheduler_available_cache_total[5m]))',
          legend: 'hits',
        },
      ]),
      series('Requests a transaction decides', 'short', [
        {
          expr: 'sum by (group) (rate(scheduler_group_size_sum[5m])) / sum by (group) (rate(scheduler_group_size_count[5m]))',
          legend: '{{group}}',
        },
      ]),
      series('Time of a transaction, p95', 's', [{ expr: quantile(0.95, 'scheduler_group_seconds', 'group'), legend: '{{group}}' }]),
      series('Put off because of a lock', 'ops', [{ expr: 'sum(rate(scheduler_lock_deferrals_total[5m]))', legend: 'put off' }]),
    ],
  },
  {
    title: 'Waiting, renewing, ending',
    panels: [
      series('Waiting by tier', 'short', [{ expr: 'sum by (tier) (scheduler_waiting)', legend: '{{tier}}' }]),
      series('Longest wait by tier', 's', [{ expr: 'max by (tier) (scheduler_waiting_oldest_seconds)', legend: '{{tier}}' }]),
      series('Wait of who waited for a device', 's', quantiles('scheduler_waitlist_wait_seconds')),
      series('Estimates kept', 'ops', [{ expr: rate('scheduler_wait_estimate_total', 'within'), legend: '{{within}}' }]),
      series('Ends by reason', 'ops', [{ expr: rate('scheduler_allocations_ended_total', 'reason'), legend: '{{reason}}' }]),
      series('Lateness of expiry', 's', quantiles('scheduler_expiry_lateness_seconds')),
      series('Extensions', 'ops', [
        { expr: rate('scheduler_extensions_total', 'outcome, automatic'), legend: '{{outcome}} automatic={{automatic}}' },
      ]),
      series('Reservations', 'ops', [{ expr: rate('scheduler_reservations_total', 'change'), legend: '{{change}}' }]),
      series('Ends the database refused', 'short', [{ expr: 'sum(increase(scheduler_stuck_ends_total[15m]))', legend: 'refused' }]),
    ],
  },
  {
    title: 'Queues and jobs',
    panels: [
      series('Jobs waiting', 'short', [{ expr: 'sum by (queue) (scheduler_queue_jobs{state="waiting"})', legend: '{{queue}}' }]),
      series('Jobs failed and kept', 'short', [{ expr: 'sum by (queue) (scheduler_queue_jobs{state="failed"})', legend: '{{queue}}' }]),
      series('Time of a job, p95', 's', [{ expr: quantile(0.95, 'scheduler_job_seconds', 'queue'), legend: '{{queue}}' }]),
      series('Jobs by outcome', 'ops', [{ expr: rate('scheduler_job_seconds_count', 'queue, outcome'), legend: '{{queue}} {{outcome}}' }]),
      series('Scheduled runs', 'ops', [
        { expr: rate('scheduler_scheduled_runs_total', 'scheduled_job, outcome'), legend: '{{scheduled_job}} {{outcome}}' },
      ]),
      series('Repairs', 'short', [{ expr: 'sum by (repair) (increase(scheduler_reconciled_total[15m]))', legend: '{{repair}}' }]),
      series('Jobs taken back, workers replaced', 'short', [
        { expr: 'sum by (queue) (increase(scheduler_jobs_stalled_total[15m]))', legend: '{{queue}} taken back' },
        { expr: 'sum by (queue) (increase(scheduler_worker_restarts_total[15m]))', legend: '{{queue}} replaced' },
      ]),
    ],
  },
  {
    title: 'Neighbours and events',
    panels: [
      series('Breakers: 1 is open', 'short', [{ expr: 'max by (neighbour) (scheduler_breaker_open)', legend: '{{neighbour}}' }]),
      series('Calls by outcome', 'ops', [
        { expr: rate('scheduler_neighbour_call_seconds_count', 'neighbour, outcome'), legend: '{{neighbour}} {{outcome}}' },
      ]),
      series('Calls, p95', 's', [{ expr: quantile(0.95, 'scheduler_neighbour_call_seconds', 'neighbour'), legend: '{{neighbour}}' }]),
      series('Cached quotas and balances', 'ops', [
        { expr: rate('scheduler_neighbour_cache_total', 'cache, result'), legend: '{{cache}} {{result}}' },
      ]),
      series('Deliveries', 'ops', [{ expr: rate('scheduler_deliveries_total', 'kind, outcome'), legend: '{{kind}} {{outcome}}' }]),
      series('Outbox', 'short', [{ expr: 'sum by (channel) (scheduler_outbox_pending)', legend: '{{channel}}' }]),
      series('Events sent', 'ops', [{ expr: rate('scheduler_outbox_published_total', 'outcome'), legend: '{{outcome}}' }]),
      series('Events received', 'ops', [
        { expr: rate('scheduler_events_consumed_total', 'queue, outcome'), legend: '{{queue}} {{outcome}}' },
      ]),
      series('Seconds owed', 's', [{ expr: 'sum(scheduler_ledger_owed_seconds)', legend: 'owed' }]),
      series('Dead letters', 'short', [{ expr: 'sum by (kind) (scheduler_dead_letters)', legend: '{{kind}}' }]),
    ],
  },
  {
    title: 'Processes',
    panels: [
      series('Memory', 'bytes', [{ expr: 'process_resident_memory_bytes{job="scheduler"}', legend: '{{process}} {{instance}}' }]),
      series('Processor', 'percentunit', [
        { expr: 'rate(process_cpu_seconds_total{job="scheduler"}[1m])', legend: '{{process}} {{instance}}' },
      ]),
      series('Event loop, p99', 's', [{ expr: 'nodejs_eventloop_lag_p99_seconds{job="scheduler"}', legend: '{{process}} {{instance}}' }]),
    ],
  },
];
