import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { connect } from 'amqplib';
import { signToken } from '../../cli/token.ts';
import { ALERTS } from '../../scripts/monitoring/alerts.ts';
import { ROWS } from '../../scripts/monitoring/panels.ts';
import { EVENT_EXCHANGE } from '../../shared/events.ts';
import { type ClusterBench, openClusterBench } from '../support/cluster-bench.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { type OwnRabbitmq, ownRabbitmq } from '../support/own-rabbitmq.ts';
import { type Prometheus, startPrometheus } from '../support/prometheus.ts';
import { promtool } from '../support/promtool.ts';

const PATIENCE_MS = 60_000;
/** Selectors whose series are there from the first fault on, or from the first wait that was longer than told. */
const OF_FAULTS: readonly string[] = ['scheduler_http_seconds_count{status=~"5.."}', 'scheduler_wait_estimate_total{within="late"}'];

/** What a panel or an alert asks: the expression, and the labels its words name. */
const ASKED = [
  ...ALERTS.map(({ name, when }) => ({ title: name, expr: when, legend: '' })),
  ...ROWS.flatMap(({ panels }) => panels.flatMap(({ title, lines }) => lines.map((line) => ({ title, ...line })))),
];
const selectorsOf = (expr: string) => expr.match(/\b(?:(?:scheduler|process|nodejs)_[a-z0-9_]+|up)\b(?:\{[^}]*\})?/g) ?? [];
const labelsOf = (expr: string, legend: string) => [
  ...[...expr.matchAll(/by \(([^)]+)\)/g)].flatMap(([, labels = '']) => labels.split(', ')),
  ...[...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label),
];

let [bench, rabbitmq, prometheus]: [ClusterBench?, OwnRabbitmq?, Prometheus?] = [];
let addresses: readonly URL[];

beforeAll(async () => {
  rabbitmq = await ownRabbitmq();
  await rabbitmq.start();
  bench = await openClusterBench({ RABBITMQ_URL: rabbitmq.url });
  addresses = bench.cluster.processes.filter(({ name }) => name !== 'stand-ins').map(({ healthUrl }) => new URL('/metrics', healthUrl));
  prometheus = await startPrometheus(addresses.map(({ host }) => host));
}, 180_000);

afterAll(async () => {
  await prometheus?.stop();
  await bench?.close();
  await rabbitmq?.remove();
}, 60_000);

async function ask(expr: string) {
  if (prometheus === undefined) throw new Error('there is no Prometheus');
  return prometheus.ask(expr);
}

test('what every process serves is well-formed', async () => {
  const texts = await Promise.all(addresses.map(async (address) => (await fetch(address)).text()));
  // The library's own names are not ours to change.
  const faults = texts.flatMap((text) => promtool(['check', 'metrics'], text).said.split('\n'));
  expect(faults.filter((line) => line !== '' && !line.startsWith('nodejs_'))).toEqual([]);
});

/** A little of everything that is counted without a fault. */
async function work({ cluster, store, secrets }: ClusterBench, broker: string): Promise<void> {
  await addDevices(store, alike(2));
  const call = async (userId: string, method: string, path: string, body?: object) => {
    const headers = {
      authorization: `Bearer ${await signToken({ user: userId, expiresIn: '600' }, secrets)}`,
      'content-type': 'application/json',
    };
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const answer = await fetch(`${cluster.addresses.api}/scheduler${path}`, { method, headers, ...sent });
    const { data }: { data?: Record<string, string> } = JSON.parse(await answer.text());
    return data ?? {};
  };
  const allocate = (userId: string, more: object = {}) =>
    call(userId, 'POST', '/devices/allocate', { userId, durationMinutes: 30, waitMs: 20_000, ...more });
  for (let look = 0; look < 2; look += 1) await call('ann', 'GET', '/devices/available');
  const [{ allocationId }] = [await allocate('ann'), await allocate('bob')];
  await call('ann', 'PUT', `/allocations/${allocationId}/extend`, { additionalMinutes: 5 });
  await allocate('cyd');
  const { requestId } = await allocate('cyd', { queueIfBusy: true });
  await call('ann', 'POST', '/devices/release', { allocationId });
  await eventually(async () => expect((await call('cyd', 'GET', `/requests/${requestId}`)).status).toBe('granted'), PATIENCE_MS);
  // Who still waits when Prometheus looks.
  await allocate('dan', { queueIfBusy: true });
  await tell(broker, 'user.suspended', { userId: 'eve' });
}

async function tell(broker: string, topic: string, body: object): Promise<void> {
  const connection = await connect(broker);
  const channel = await connection.createConfirmChannel();
  channel.publish(EVENT_EXCHANGE, topic, Buffer.from(JSON.stringify(body)), { messageId: randomUUID() });
  await channel.waitForConfirms();
  await connection.close();
}

test('everything panels and alerts ask for is there, by the labels they ask with, and none of it is taken for absent', async () => {
  if (bench === undefined || rabbitmq === undefined) throw new Error('there is no cluster');
  await work(bench, rabbitmq.url);
  await eventually(async () => {
    const missing: string[] = [];
    for (const { title, expr, legend } of ASKED) {
      const series = new Map(await Promise.all(selectorsOf(expr).map(async (each) => [each, await ask(each)] as const)));
      for (const [selector, found] of series) if (found.length === 0) missing.push(selector);
      const labels = new Set([...series.values()].flat().flatMap(({ metric }) => Object.keys(metric)));
      for (const label of labelsOf(expr, legend)) if (!labels.has(label)) missing.push(`${label} of ${title}`);
    }
    expect(missing.filter((each) => !OF_FAULTS.includes(each))).toEqual([]);
    // How long things take is not for a test to say; what is taken for absent is.
    const ofAbsence = ALERTS.filter(({ when }) => when.includes('absent('));
    for (const { name, when } of ofAbsence) expect([name, await ask(when)]).toEqual([name, []]);
  }, PATIENCE_MS);

  // The first of its kind is a growth already.
  await tell(rabbitmq.url, 'user.suspended', { wheels: 4 });
  const { when = '' } = ALERTS.find(({ name }) => name === 'EventsMalformed') ?? {};
  await eventually(async () => expect(await ask(when)).toHaveLength(1), PATIENCE_MS);
}, 240_000);
