import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { WORKERS } from '../dev/cluster/start-cluster.ts';
import { ALERTS } from '../scripts/monitoring/alerts.ts';
import { ROWS } from '../scripts/monitoring/panels.ts';
import { createMetrics } from '../shared/metrics.ts';
import { promtool } from './support/promtool.ts';

const RULES = resolve('dashboards/alerts/scheduler.rules.yml');
const folder = mkdtempSync(join(tmpdir(), 'monitoring-'));
afterAll(() => rmSync(folder, { recursive: true }));

type Series = Readonly<Record<string, string>>;

/** A value that stays, looked at every minute; and a counter that grows by so much each time. */
const stays = (value: number) => `${value}x60`;
const grows = (by: number) => `0+${by}x60`;
/** A breaker opens again after each call it tries. */
const halfOpenNowAndThen = Array.from({ length: 20 }, () => '1 1 0.5').join(' ');
/** All observations below half a second, or all between that and a minute. */
const observed = (histogram: string, below: '0.5' | '60'): Series => ({
  [`${histogram}_bucket{le="0.5"}`]: below === '0.5' ? grows(10) : stays(0),
  [`${histogram}_bucket{le="60"}`]: grows(10),
  [`${histogram}_bucket{le="+Inf"}`]: grows(10),
});

/** Every process says when it was started. */
const started = (process: string) => `process_start_time_seconds{job="scheduler",process="${process}"}`;
const PROCESS_NAMES = ['api', 'dashboards', ...WORKERS.map((worker) => `worker-${worker}`)];

/** What a cluster in good health says. */
const HEALTHY: Series = {
  ...Object.fromEntries(PROCESS_NAMES.map((name) => [started(name), stays(1)])),
  'up{job="scheduler",instance="api"}': stays(1),
  ...observed('scheduler_request_wait_seconds', '0.5'),
  'scheduler_queue_jobs{queue="allocate",state="waiting"}': stays(100),
  ...observed('scheduler_expiry_lateness_seconds', '0.5'),
  'scheduler_scheduled_runs_total{scheduled_job="expire",outcome="done"}': grows(30),
  scheduler_stuck_ends_total: stays(0),
  'scheduler_dead_letters{kind="billing"}': stays(0),
  scheduler_ledger_owed_bills: stays(10),
  'scheduler_outbox_pending{channel="event"}': stays(50),
  'scheduler_breaker_open{neighbour="billing-service"}': stays(0),
  'scheduler_jobs_stalled_total{queue="allocate"}': stays(3),
  'scheduler_worker_restarts_total{queue="allocate"}': stays(0),
  'scheduler_events_consumed_total{queue="users",outcome="malformed"}': stays(0),
  'scheduler_waiting_oldest_seconds{tier="free"}': stays(60),
  'scheduler_wait_estimate_total{within="p50"}': grows(10),
  'scheduler_wait_estimate_total{within="late"}': grows(1),
  'scheduler_http_seconds_count{status="200"}': grows(1000),
  'scheduler_http_seconds_count{status="503"}': grows(1),
};

/** For each alert: what else is said when it has to be true. `undefined`: nothing is said of it at all. */
const ILL: Readonly<Record<string, Readonly<Record<string, string | undefined>>>> = {
  SchedulerProcessDown: { 'up{job="scheduler",instance="api"}': stays(0) },
  SchedulerProcessMissing: { [started('worker-relay')]: undefined },
  RequestsWaitLong: observed('scheduler_request_wait_seconds', '60'),
  AllocationBacklog: { 'scheduler_queue_jobs{queue="allocate",state="waiting"}': stays(30_000) },
  ExpiryLate: observed('scheduler_expiry_lateness_seconds', '60'),
  ScheduledJobsStopped: { 'scheduler_scheduled_runs_total{scheduled_job="expire",outcome="done"}': stays(7) },
  EndsStuck: { scheduler_stuck_ends_total: grows(1) },
  DeadLetters: { 'scheduler_dead_letters{kind="billing"}': stays(1) },
  BillsOwed: { scheduler_ledger_owed_bills: stays(2_000) },
  OutboxBehind: { 'scheduler_outbox_pending{channel="event"}': stays(20_000) },
  NoRelayLeads: { 'scheduler_outbox_pending{channel="event"}': undefined },
  NeighbourAway: { 'scheduler_breaker_open{neighbour="billing-service"}': halfOpenNowAndThen },
  JobsStalled: { 'scheduler_jobs_stalled_total{queue="allocate"}': grows(2) },
  WorkersRestarted: { 'scheduler_worker_restarts_total{queue="allocate"}': grows(1) },
  EventsMalformed: { 'scheduler_events_consumed_total{queue="users",outcome="malformed"}': grows(1) },
  WaitersOld: { 'scheduler_waiting_oldest_seconds{tier="free"}': stays(6_000) },
  EstimatesMislead: { 'scheduler_wait_estimate_total{within="late"}': grows(20) },
  AnswersFail: { 'scheduler_http_seconds_count{status="503"}': grows(100) },
};

/** Longer than any alert must last. */
const LOOKED_AT = '45m';

/** Whether just these alerts fire after three quarters of an hour of these series; else what promtool says. */
function firing(series: Readonly<Record<string, string | undefined>>, wanted: readonly string[]): string {
  const input = Object.entries(series).flatMap(([name, values]) => (values === undefined ? [] : [{ series: name, values }]));
  const rules = ALERTS.map(({ name }) => ({
    expr: `count(ALERTS{alertname="${name}",alertstate="firing"}) > bool 0 or vector(0)`,
    eval_time: LOOKED_AT,
    exp_samples: [{ labels: '{}', value: wanted.includes(name) ? 1 : 0 }],
  }));
  const file = join(folder, 'rules.test.yml');
  const tests = [{ interval: '1m', input_series: input, promql_expr_test: rules }];
  writeFileSync(file, stringify({ rule_files: [RULES], evaluation_interval: '1m', tests }));
  const { code, said } = promtool(['test', 'rules', file]);
  return code === 0 ? 'as wanted' : said;
}

describe('the alerts', () => {
  test('are rules Prometheus takes', () => {
    expect(promtool(['check', 'rules', RULES])).toMatchObject({ code: 0, said: expect.stringContaining(`${ALERTS.length} rules found`) });
  });

  test('are all silent while everything is well', () => {
    expect(firing(HEALTHY, [])).toBe('as wanted');
  });

  test.each(ALERTS)('$name fires when it has to, alone', ({ name }) => {
    expect(Object.keys(ILL)).toContain(name);
    expect(firing({ ...HEALTHY, ...ILL[name] }, [name])).toBe('as wanted');
  });

  test.each(PROCESS_NAMES)('tell that there is no %s', (name) => {
    expect(firing({ ...HEALTHY, [started(name)]: undefined }, ['SchedulerProcessMissing'])).toBe('as wanted');
  });

  test('have a page each, and no page is of nothing', () => {
    const pages = readFileSync(RULES, 'utf8').matchAll(/runbook: docs\/runbooks\/(\S+)/g);
    expect([...pages].map(([, page]) => page).toSorted()).toEqual(
      readdirSync('docs/runbooks')
        .filter((page) => page !== 'README.md')
        .toSorted(),
    );
  });
});

describe('the panels and the alerts', () => {
  const asked = [
    ...ALERTS.map(({ when }) => when),
    ...ROWS.flatMap(({ panels }) => panels.flatMap(({ lines }) => lines.map(({ expr }) => expr))),
  ];

  test('ask what Prometheus understands', () => {
    const rules = asked.map((expr, index) => ({ record: `panel:${index}`, expr }));
    const file = join(folder, 'panels.yml');
    writeFileSync(file, stringify({ groups: [{ name: 'panels', rules }] }));
    expect(promtool(['check', 'rules', file])).toMatchObject({ code: 0 });
  });

  test('ask for every metric of ours, and for none that is not there', async () => {
    const ours = (await createMetrics('docs').registry.getMetricsAsJSON())
      .map(({ name }) => name)
      .filter((name) => name.startsWith('scheduler_'));
    const used = new Set(
      asked.flatMap((expr) => expr.match(/scheduler_[a-z_]+/g) ?? []).map((name) => name.replace(/_(bucket|sum|count)$/, '')),
    );
    expect([...used].toSorted()).toEqual(ours.toSorted());
  });
});

describe('the metrics', () => {
  test('have no label Prometheus has itself: it would rename ours', () => {
    const metrics = createMetrics('test').registry.getMetricsAsArray() as unknown as readonly { labelNames?: readonly string[] }[];
    const labels = metrics.flatMap(({ labelNames = [] }) => labelNames);
    expect(labels.filter((label) => ['job', 'instance'].includes(label))).toEqual([]);
  });
});

describe('the configuration of Prometheus', () => {
  test('is what it takes', () => {
    const local = readFileSync('deploy/monitoring/prometheus.yml', 'utf8').replace('/etc/prometheus/rules', resolve('dashboards/alerts'));
    const file = join(folder, 'prometheus.yml');
    writeFileSync(file, local);
    expect(promtool(['check', 'config', file])).toMatchObject({ code: 0, said: expect.stringContaining('SUCCESS') });
  });
});
