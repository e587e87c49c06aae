import type { Finding, Outcome } from './compare.ts';
import { WAYS, type WayName } from './planned-request.ts';
import { overWays, percentile, type Tally, type TenantTally } from './tally.ts';

/** A line of the summary: what, and how much. */
type Row = readonly [string, string];

const WAY_NAMES: Readonly<Record<WayName, string>> = { http: 'HTTP', client: 'client', event: 'events (*)' };
const NOTE = '(*) requests of other services, driven through the client under a name of their own';
const MOST_TENANTS = 6;

const count = (number: number) => number.toLocaleString('en');
const ms = (value: number | undefined) =>
  value === undefined ? '–' : value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
const spread = (numbers: readonly number[]) =>
  `p50 ${ms(percentile(numbers, 0.5))}, p95 ${ms(percentile(numbers, 0.95))}, p99 ${ms(percentile(numbers, 0.99))}`;

/** What was found besides the counts. */
export interface SummaryFacts {
  readonly seconds: number;
  readonly devices: number;
  /** Of the killed worker: its name, and how long until its replacement worked (ms). */
  readonly killed: { readonly name: string; readonly downMs: number | undefined } | undefined;
  readonly warnings: number;
  readonly logFile: string;
}

/** The aligned table of everything that happened, then what was checked. */
export function summarise(outcome: Outcome, findings: readonly Finding[], facts: SummaryFacts): string {
  const { tally } = outcome;
  const sections = [
    table('requests', requestRows(tally)),
    table('time to the first decision', decisionRows(tally)),
    table('leases', leaseRows(outcome, facts.devices)),
    table('what left', leavingRows(outcome)),
    table('the run', runRows(tally, facts)),
    ...(tally.tenants.size > 0 ? [table('fairness between tenants', tenantRows(tally))] : []),
    table(
      'checked',
      findings.map(({ name, ok, seen }) => [`${ok ? 'holds ' : 'BROKEN'}  ${name}`, seen]),
    ),
    NOTE,
  ];
  return sections.join('\n\n');
}

function requestRows(tally: Tally): Row[] {
  const refusals = [...tally.refusals].toSorted(([, a], [, b]) => b - a);
  return [
    ['sent', count(tally.sent)],
    ['granted', count(overWays(tally, 'granted'))],
    ['refused', count(overWays(tally, 'refused'))],
    ...refusals.map(([code, number]): Row => [`  ${code}`, count(number)]),
    ['waited for a device', `${count(tally.waited)}, of which ${count(tally.waitMs.length)} got one: ${spread(tally.waitMs)}`],
    ['sent twice at once', `${count(tally.sentTwice)}, answered differently ${count(tally.differed)}`],
  ];
}

function decisionRows(tally: Tally): Row[] {
  return WAYS.filter((way) => tally.ways[way].sent > 0).map((way) => {
    const { sent, granted, refused, decisionMs } = tally.ways[way];
    return [WAY_NAMES[way], `${spread(decisionMs)}   (${count(sent)} sent, ${count(granted)} granted, ${count(refused)} refused)`];
  });
}

function leaseRows({ tally, figures }: Outcome, devices: number): Row[] {
  return [
    ['most devices held at once', `${count(tally.heldMost)} of ${count(devices)}`],
    ['extended', [count(tally.extended), ...[...tally.extendRefusals].map(([code, number]) => `${code} ${count(number)}`)].join(', ')],
    ['released', `${count(tally.released)}: ${spread(tally.releaseMs)}`],
    [
      'ended',
      Object.entries(figures.ended)
        .map(([reason, number]) => `${reason} ${count(number)}`)
        .join(', ') || 'none',
    ],
    ['still held', count(figures.live)],
    ['taken by one batch', count(tally.batch.taken)],
    ['booked ahead', bookingsInWords(tally.bookings)],
  ];
}

function bookingsInWords({ booked, refusals, lateMs }: Tally['bookings']): string {
  const refused = [...refusals].map(([code, number]) => `, ${code} ${count(number)}`).join('');
  return `${count(booked)}${refused}; ${count(lateMs.length)} begun, at most ${ms(percentile(lateMs, 1))} after their time`;
}

function leavingRows({ standIns, figures, events }: Outcome): Row[] {
  const twice = events === undefined ? 0 : [...events.arrived.values()].filter((times) => times > 1).length;
  return [
    [
      'billed',
      `${count(standIns.billing.seconds)} s in ${count(standIns.billing.allocations)} leases (repeated deliveries ${count(standIns.billing.repeats)})`,
    ],
    ['usage reports', `${count(standIns.user.reports)} (repeated deliveries ${count(standIns.user.repeats)})`],
    [
      'events',
      events === undefined
        ? 'off: RABBITMQ_URL is empty'
        : `${count(figures.eventIds.size)} published and received, ${count(twice)} of them more than once`,
    ],
  ];
}

function runRows(tally: Tally, { seconds, killed, warnings, logFile }: SummaryFacts): Row[] {
  return [
    ['took', `${seconds.toFixed(1)} s`],
    ...(killed === undefined ? [] : [['killed with SIGKILL', `${killed.name}, replaced after ${ms(killed.downMs)}`] as const]),
    ['calls repeated by callers', count(tally.retries)],
    ['driver behind its plan', `at most ${ms(tally.lateMost)}`],
    ['warnings and errors logged', `${count(warnings)} (${logFile})`],
    ...tally.faults.slice(0, 5).map((fault): Row => ['fault', fault.slice(0, 200)]),
  ];
}

function tenantRows(tally: Tally): Row[] {
  const rows = [...tally.tenants].toSorted(([, a], [, b]) => b.requests - a.requests);
  const shown = rows.slice(0, MOST_TENANTS).map(([name, tenant]): Row => [name, ofTenant(tenant)]);
  const rest = rows.slice(MOST_TENANTS);
  if (rest.length === 0) return shown;
  const together: TenantTally = {
    requests: rest.reduce((sum, [, { requests }]) => sum + requests, 0),
    grants: rest.reduce((sum, [, { grants }]) => sum + grants, 0),
    decisionMs: rest.flatMap(([, { decisionMs }]) => decisionMs),
  };
  return [...shown, [`${rest.length} others`, ofTenant(together)]];
}

function ofTenant({ requests, grants, decisionMs }: TenantTally): string {
  return `${count(grants)} of ${count(requests)} granted (${Math.round((100 * grants) / Math.max(1, requests))} %), decision ${spread(decisionMs)}`;
}

function table(title: string, rows: readonly Row[]): string {
  const width = Math.max(...rows.map(([what]) => what.length));
  return [title, ...rows.map(([what, much]) => `  ${what.padEnd(width)}  ${much}`)].join('\n');
}
