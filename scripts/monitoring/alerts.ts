import { PROCESSES } from '../kubernetes/processes.ts';

/** A condition somebody should look at, with the page that says how. */
export interface Alert {
  /** Also the name of its page, in kebab case. */
  readonly name: string;
  /** PromQL. */
  readonly when: string;
  /** How long it must hold; a Prometheus duration. */
  readonly lasts: string;
  /** `page`: wake somebody. `ticket`: during the day. */
  readonly severity: 'page' | 'ticket';
  /** One sentence, with the labels of the series as Prometheus fills them in. */
  readonly summary: string;
  /** What is going on when this is true, and whom it hurts. */
  readonly means: string;
  /** Where to look, in order. */
  readonly look: readonly string[];
  /** What to do about it. */
  readonly mend: readonly string[];
}

const p = (quantile: number, histogram: string, by = '') =>
  `histogram_quantile(${quantile}, sum by (le${by}) (rate(${histogram}_bucket[5m])))`;

const EXPIRED = 'scheduler_scheduled_runs_total{scheduled_job="expire",outcome="done"}';

/** What every process says as long as it is looked at, by the name it gives itself. A container that is stopped has no `up` any more. */
const SOMEBODY_IS = PROCESSES.map(({ name, port }) => {
  const process = port === undefined ? `worker-${name}` : name;
  return `process_start_time_seconds{job="scheduler",process="${process}"}`;
});

/** Every alert. The thresholds are those of the goals; who has other goals changes them in an own file of rules. */
export const ALERTS: readonly Alert[] = [
  {
    name: 'SchedulerProcessDown',
    when: 'up{job="scheduler"} == 0',
    lasts: '1m',
    severity: 'page',
    summary: '{{ $labels.instance }} does not answer',
    means:
      'A process has not answered Prometheus for a minute. Another one of its kind carries on if there is one; its jobs come back after 5 to 20 s.',
    look: [
      'Whether it runs, and its last log lines at `error` and `fatal`.',
      'A configuration that is refused lists every problem and exits with 1.',
    ],
    mend: ['Start it again. It keeps no state.', 'If it is killed for memory, `npm run bench -- memory` says what it takes: give it more.'],
  },
  {
    name: 'SchedulerProcessMissing',
    when: SOMEBODY_IS.map((series) => `absent(${series})`).join(' or '),
    lasts: '2m',
    severity: 'page',
    summary: 'there is no {{ $labels.process }}',
    means: 'Prometheus sees no process of this kind: all have been stopped, or it does not know where they are. What they do is not done.',
    look: ['Whether one runs. If so, whether Prometheus finds it: its page of targets.'],
    mend: ['Start one. What has waited for it is caught up.'],
  },
  {
    name: 'RequestsWaitLong',
    when: `${p(0.95, 'scheduler_request_wait_seconds')} > 5`,
    lasts: '5m',
    severity: 'page',
    summary: 'one request in twenty is decided after more than 5 s ({{ $value | humanizeDuration }})',
    means: 'Requests are decided slowly. Those who wait for a device are not among them: see `scheduler_waitlist_wait_seconds`.',
    look: [
      '`scheduler_queue_jobs{queue="allocate",state="waiting"}`: a backlog means too few workers, or a slow Postgres.',
      '`scheduler_group_seconds`: above 0.2 s Postgres is what is slow; look for locks, checkpoints, its processor.',
      '`scheduler_neighbour_call_seconds`: quotas and balances are read before a decision when they are not cached.',
    ],
    mend: ['More processes of `workers/allocation`.', 'Mend Postgres first if groups are slow: more workers make it worse.'],
  },
  {
    name: 'AllocationBacklog',
    when: 'max by (queue) (scheduler_queue_jobs{state="waiting"}) > 20000',
    lasts: '5m',
    severity: 'page',
    summary: '{{ $value }} jobs wait in the queue {{ $labels.queue }}',
    means: 'More jobs come than are done. At `MAX_WAITING_JOBS` new requests are refused with `OVERLOADED`.',
    look: [
      'Which queue, and whether its workers run and are healthy (`/health`).',
      'Whether one tenant floods: the others are served in turn, but wait longer.',
    ],
    mend: ['More processes of the worker of that queue (see the table of processes in the guide).'],
  },
  {
    name: 'ExpiryLate',
    when: `${p(0.99, 'scheduler_expiry_lateness_seconds')} > 15`,
    lasts: '5m',
    severity: 'page',
    summary: 'allocations are ended {{ $value | humanizeDuration }} after they ran out',
    means: 'Holders keep devices after their time. They are billed to the second of the end that was agreed, not of the late one.',
    look: ['`GET /scheduler/jobs`: is `expire` paused, does it fail, how long does it take?', 'Do `workers/maintenance` run?'],
    mend: ['`POST /scheduler/jobs/expire/resume`, or `/run`.', 'Start `workers/maintenance`: what is due is caught up.'],
  },
  {
    name: 'ScheduledJobsStopped',
    when: `sum(increase(${EXPIRED}[3m])) < 1 or absent(${EXPIRED})`,
    lasts: '2m',
    severity: 'page',
    summary: 'no run of the scheduled job expire was done for minutes',
    means: 'No expiry, no repair. Nothing is lost: all of it is caught up.',
    look: ['Do `workers/maintenance` run, and can they reach Redis and Postgres?', '`GET /scheduler/jobs`: what is paused, what fails?'],
    mend: ['Start them, or resume the job. A Redis that lost its data has the schedules back within 15 s.'],
  },
  {
    name: 'EndsStuck',
    when: 'sum(increase(scheduler_stuck_ends_total[10m])) > 0',
    lasts: '0m',
    severity: 'ticket',
    summary: 'the database refuses to end an allocation',
    means:
      'One row cannot be ended and is put off; all others are ended. Its device stays held. Its holder is billed to the end that was agreed, not on.',
    look: ['`SELECT * FROM stuck_ends`: `last_error` says what Postgres said.'],
    mend: ['Mend the row. It is tried again within five minutes.'],
  },
  {
    name: 'DeadLetters',
    when: 'sum by (kind) (scheduler_dead_letters) > 0',
    lasts: '1m',
    severity: 'page',
    summary: '{{ $value }} dead letters of the kind {{ $labels.kind }}',
    means:
      'Deliveries failed `BILLING_MAX_ATTEMPTS` (or `NOTIFICATION_MAX_ATTEMPTS`) times and are not tried again. A dead bill is money nobody asks for.',
    look: ['`GET /scheduler/dead-letters`: `lastError` says what the neighbour answered.'],
    mend: ['Mend the cause, then `POST /scheduler/dead-letters/retry`. The keys stay the same, so nothing is counted twice.'],
  },
  {
    name: 'BillsOwed',
    when: 'sum(scheduler_ledger_owed_bills) > 1000',
    lasts: '30m',
    severity: 'ticket',
    summary: '{{ $value }} bills have not been taken for half an hour',
    means: 'The billing-service takes no bills, or too slowly. They are kept and tried again.',
    look: [
      'The breaker of billing-service on `/ready`.',
      '`scheduler_deliveries_total{kind="billing"}` by outcome; do `workers/delivery` run?',
    ],
    mend: ['Nothing here once the billing-service is back: bills are delivered in their order.'],
  },
  {
    name: 'OutboxBehind',
    when: 'sum by (channel) (scheduler_outbox_pending) > 10000',
    lasts: '5m',
    severity: 'ticket',
    summary: '{{ $value }} rows of the channel {{ $labels.channel }} wait in the outbox',
    means: 'Events, reports of use or notices are late. Allocations are not.',
    look: ['`event`: RabbitMQ, the `broker` on `/health` of the relay.', '`usage` and `notice`: the neighbour, and `workers/delivery`.'],
    mend: ['Mend RabbitMQ or the neighbour; the rows go out in their order by themselves.'],
  },
  {
    name: 'NoRelayLeads',
    when: 'absent(scheduler_outbox_pending)',
    lasts: '2m',
    severity: 'page',
    summary: 'no relay counts the outbox',
    means: 'No relay has the lead: no event, no bill, no notice leaves.',
    look: ['Do `workers/relay` run, and can they reach Postgres?'],
    mend: ['Start one. It takes the lead within seconds and goes on where the last one stopped.'],
  },
  {
    name: 'NeighbourAway',
    when: 'max by (neighbour) (scheduler_breaker_open) > 0',
    lasts: '2m',
    severity: 'page',
    summary: '{{ $labels.neighbour }} is left alone: too many of its calls fail',
    means:
      'Its breaker is open, or tries a call now and then. user-service: refusals `QUOTA_UNAVAILABLE` unless `QUOTA_ALLOW_ON_ERROR`. billing-service: the last known balance, bills wait. notification-service: notices wait.',
    look: ['`scheduler_neighbour_call_seconds` by outcome; its own health.'],
    mend: ['Mend the neighbour. The breaker tries every 30 s and closes by itself.'],
  },
  {
    name: 'JobsStalled',
    when: 'sum by (queue) (increase(scheduler_jobs_stalled_total[15m])) > 20',
    lasts: '0m',
    severity: 'ticket',
    summary: 'jobs of {{ $labels.queue }} are taken back from workers that fell silent',
    means:
      'Workers die, or their event loop stands still for longer than the lock of a job. Every job may run twice, so nothing is wrong yet.',
    look: ['Restarts of that worker, its memory, `nodejs_eventloop_lag_p99_seconds`.'],
    mend: ['Lower `WORKER_CONCURRENCY` if the processor is full.'],
  },
  {
    name: 'WorkersRestarted',
    when: 'sum by (queue) (increase(scheduler_worker_restarts_total[15m])) > 0',
    lasts: '0m',
    severity: 'ticket',
    summary: 'a worker of {{ $labels.queue }} was replaced because jobs waited and none was taken',
    means: 'The watchdog found a worker that was connected and took nothing.',
    look: ['What happened to Redis at that moment: fail-over, READONLY, LOADING.'],
    mend: ['Nothing, if it happened once. If it goes on, restart the process and keep its log.'],
  },
  {
    name: 'EventsMalformed',
    when: 'sum by (queue) (increase(scheduler_events_consumed_total{outcome="malformed"}[15m])) > 0',
    lasts: '0m',
    severity: 'ticket',
    summary: 'a service sends events that cannot be read ({{ $labels.queue }})',
    means: 'What it wanted to say is not applied. The messages are kept in the queue `scheduler.dead` with the reason.',
    look: ['The headers of the messages in `scheduler.dead`.'],
    mend: ['Mend the publisher and send the events again.'],
  },
  {
    name: 'WaitersOld',
    when: 'max by (tier) (scheduler_waiting_oldest_seconds) > 5400',
    lasts: '5m',
    severity: 'ticket',
    summary: 'somebody of the tier {{ $labels.tier }} has waited for {{ $value | humanizeDuration }}',
    means: 'The fleet is too small for what is asked, or what is asked for does not come free.',
    look: [
      '`GET /scheduler/queue/:id/position` of the oldest: `reason` says what it waits for.',
      'Is there a matching device that is free? Then look at the job `waitlist`.',
    ],
    mend: ['More devices of that kind, or shorter allocations.'],
  },
  {
    name: 'EstimatesMislead',
    when: 'sum(increase(scheduler_wait_estimate_total{within="late"}[6h])) / sum(increase(scheduler_wait_estimate_total[6h])) > 0.3',
    lasts: '30m',
    severity: 'ticket',
    summary: '{{ $value | humanizePercentage }} of those who waited were served after the p90 they were told',
    means: 'Estimates are too hopeful. Nothing else is wrong.',
    look: ['Did the load change, did devices go down, are allocations extended much more than before?'],
    mend: ['Nothing: estimates follow the last hours.'],
  },
  {
    name: 'AnswersFail',
    when: 'sum(rate(scheduler_http_seconds_count{status=~"5.."}[5m])) / sum(rate(scheduler_http_seconds_count[5m])) > 0.01',
    lasts: '5m',
    severity: 'page',
    summary: '{{ $value | humanizePercentage }} of the HTTP answers are 5xx',
    means: 'Callers get 503 (a server or a neighbour is away: they may try again) or 500 (a defect).',
    look: ['`scheduler_http_seconds_count` by `status` and `route`.', '`/ready`. Log lines at `error` with the `requestId` of an answer.'],
    mend: ['Mend what `/ready` says. A 500 is a defect: keep the log line.'],
  },
];
