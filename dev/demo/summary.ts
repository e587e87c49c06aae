import { amount, bar, percent, spread, spreadInWords, time } from './amounts.ts';
import type { Outcome } from './compare.ts';
import { errandRows } from './errands/summarise-errands.ts';
import type { Finding } from './finding.ts';
import { dim, grid, heading, list, marked, type Paper, type Row } from './paper.ts';
import { WAYS, type WayName } from './planned-request.ts';
import { overWays, type Tally, type TenantTally } from './tally.ts';

const WAY_NAMES: Readonly<Record<WayName, string>> = { http: 'HTTP', client: 'client' };
const MOST_TENANTS = 6;
const BAR_WIDTH = 24;
const SIDES = '  planned = told to callers = in the database or outside';

/** What was found besides the counts. */
export interface SummaryFacts {
  readonly seconds: number;
  readonly devices: number;
  /** Of the killed worker: its name, and how long until its replacement worked (ms). */
  readonly killed: { readonly name: string; readonly downMs: number | undefined } | undefined;
  readonly warnings: number;
  readonly logFile: string;
  /** Why the errands that need RabbitMQ did not run. */
  readonly withoutEvents: string | undefined;
  /** By the product's own checker. */
  readonly invariants: readonly Finding[];
}

/** The aligned tables of everything that happened, then what was checked. */
export function summarise(outcome: Outcome, findings: readonly Finding[], facts: SummaryFacts, paper: Paper): string {
  const { tally } = outcome;
  const section = (title: string, body: string) => `${heading(title, paper)}\n${body}`;
  return [
    section('requests', list(requestRows(tally), paper)),
    section('time to the first decision', decisionGrid(tally, paper)),
    section('the life of a lease', list(leaseRows(outcome, facts), paper)),
    section('what left', list(leavingRows(outcome), paper)),
    ...(tally.tenants.size > 0 ? [section('fairness between tenants', tenantGrid(tally, paper))] : []),
    section('the run', list(runRows(tally, facts), paper)),
    section('checked: the rules of the database', marked(facts.invariants, paper)),
    section('checked: callers, database, neighbours, RabbitMQ agree', `${dim(SIDES, paper)}\n${marked(findings, paper)}`),
  ].join('\n\n');
}

function requestRows(tally: Tally): Row[] {
  const share = (part: number) => `${percent(part, tally.sent).padStart(5)}  ${bar(part / Math.max(1, tally.sent), BAR_WIDTH)}`;
  const [granted, refused] = [overWays(tally, 'granted'), overWays(tally, 'refused')];
  const refusals = [...tally.refusals].toSorted(([, a], [, b]) => b - a);
  return [
    ['sent', amount(tally.sent)],
    ['granted', amount(granted), share(granted)],
    ['refused', amount(refused), share(refused)],
    ...refusals.map(([code, number]): Row => [`  ${code}`, amount(number), share(number)]),
    ['waited for a device', amount(tally.waited), `of which ${amount(tally.waitMs.length)} got one: ${spreadInWords(tally.waitMs)}`],
    ['sent twice at once', amount(tally.sentTwice), `answered differently: ${amount(tally.differed)}`],
  ];
}

function decisionGrid({ ways, errands: { orders } }: Tally, paper: Paper): string {
  const rows = WAYS.filter((way) => ways[way].sent > 0).map((way) => ({ name: WAY_NAMES[way], ...ways[way] }));
  const ordered = { name: 'events', sent: orders.sent, granted: orders.granted, refused: orders.decisionMs.length - orders.granted };
  const all = orders.sent === 0 ? rows : [...rows, { ...ordered, decisionMs: orders.decisionMs }];
  const cells = all.map(({ name, sent, granted, refused, decisionMs }) => [
    name,
    ...[sent, granted, refused].map(amount),
    ...spread(decisionMs),
  ]);
  return grid(['', 'asked', 'granted', 'refused', 'p50', 'p95', 'p99'], cells, paper);
}

function leaseRows({ tally, figures }: Outcome, { devices, withoutEvents }: SummaryFacts): Row[] {
  const ended = Object.entries(figures.ended).map(([reason, number]) => `${reason} ${amount(number)}`);
  const extendRefusals = [...tally.extendRefusals].map(([code, number]) => `refused: ${code} ${amount(number)}`);
  const all = Object.values(figures.ended).reduce((sum, number) => sum + number, 0);
  return [
    ['held at once', amount(tally.heldMost), `at most, of ${amount(devices)} devices`],
    ['released', amount(tally.released), spreadInWords(tally.releaseMs)],
    ['extended when asked', amount(tally.extended), extendRefusals.join(', ')],
    ...errandRows(tally.errands, withoutEvents),
    ['ended in all', amount(all), ended.join(', ')],
    ['still held', amount(figures.live)],
  ];
}

function leavingRows({ standIns: { billing, user, notification }, figures, events }: Outcome): Row[] {
  const twice = events === undefined ? 0 : [...figures.eventIds].filter((id) => (events.arrived.get(id) ?? 0) > 1).length;
  return [
    [
      'billed',
      amount(billing.seconds),
      `seconds of ${amount(billing.allocations)} leases; repeated deliveries: ${amount(billing.repeats)}`,
    ],
    ['reports of use', amount(user.reports), `repeated deliveries: ${amount(user.repeats)}`],
    ['notices to people', amount(notification.sent), `of ${amount(Object.keys(notification.types).length)} kinds`],
    events === undefined
      ? ['events', '–', 'off: RABBITMQ_URL is empty']
      : ['events', amount(figures.eventIds.size), `published and received, ${amount(twice)} of them more than once`],
  ];
}

function runRows(tally: Tally, { seconds, killed, warnings, logFile }: SummaryFacts): Row[] {
  return [
    ['took', time(seconds * 1_000)],
    ...(killed === undefined
      ? []
      : [['killed with SIGKILL', '1', `process, ${killed.name}, replaced after ${time(killed.downMs)}`] as const]),
    ['repeated by callers', amount(tally.retries), 'calls whose answer was lost or "later"'],
    ['behind its plan', time(tally.lateMost), 'at most, the driver: how much this machine was asked for'],
    ['warnings and errors', amount(warnings), `in the log of all processes, ${logFile}`],
    ...tally.faults.slice(0, 5).map((fault): Row => ['fault', '', fault.slice(0, 200)]),
  ];
}

function tenantGrid(tally: Tally, paper: Paper): string {
  const rows = [...tally.tenants].toSorted(([, a], [, b]) => b.requests - a.requests);
  const shown = rows.slice(0, MOST_TENANTS).map(([name, tenant]) => ofTenant(name, tenant));
  const rest = rows.slice(MOST_TENANTS).map(([, tenant]) => tenant);
  const together: TenantTally = {
    requests: rest.reduce((sum, { requests }) => sum + requests, 0),
    grants: rest.reduce((sum, { grants }) => sum + grants, 0),
    decisionMs: rest.flatMap(({ decisionMs }) => decisionMs),
  };
  const all = rest.length === 0 ? shown : [...shown, ofTenant(`${rest.length} others`, together)];
  return grid(['', 'asked', 'granted', 'share', 'p50', 'p95', 'p99'], all, paper);
}

function ofTenant(name: string, { requests, grants, decisionMs }: TenantTally): readonly string[] {
  return [name, amount(requests), amount(grants), percent(grants, requests), ...spread(decisionMs)];
}
