import { z } from 'zod';
import { compareErrands } from './errands/compare-errands.ts';
import type { EventDesk } from './event-desk.ts';
import { agree, type Finding } from './finding.ts';
import type { Backlog, StoreFigures } from './ledger-view.ts';
import type { Tally } from './tally.ts';

/** What the stand-ins for the neighbours were told, added up. */
export const standInSummary = z.object({
  user: z.object({
    reports: z.number(),
    repeats: z.number(),
    negative: z.number(),
    use: z.object({ devices: z.number(), cpuCores: z.number() }),
  }),
  billing: z.object({ allocations: z.number(), seconds: z.number(), repeats: z.number() }),
  notification: z.object({ sent: z.number(), types: z.record(z.string(), z.number()) }),
});

export type StandInSummary = z.output<typeof standInSummary>;

export interface Outcome {
  readonly tally: Tally;
  readonly figures: StoreFigures;
  readonly backlog: Backlog;
  readonly standIns: StandInSummary;
  /** What was published; undefined: events are off. */
  readonly events: Pick<EventDesk, 'arrived'> | undefined;
  /** Whether the errands that need RabbitMQ ran. */
  readonly withEvents: boolean;
  /** Whether the killed worker was replaced; undefined when none was killed. */
  readonly replaced: boolean | undefined;
}

/** Compares what callers were told, what the store holds, and what the neighbours and the broker received. */
export function compareOutcome(outcome: Outcome): readonly Finding[] {
  const { tally, figures, standIns, events, backlog, withEvents, replaced } = outcome;
  const alerts = standIns.notification.types['billing_alert'] ?? 0;
  return [
    ...compareCallers(outcome),
    ...compareErrands({ errands: tally.errands, figures: figures.errands, alerts, withEvents }),
    ...compareNeighbours(outcome),
    ...(events === undefined ? [] : [compareEvents(figures, backlog, events)]),
    agree('nothing was given up', [['dead letters', figures.dead, 0]]),
    ...(replaced === undefined ? [] : [{ name: 'the killed worker was replaced', ok: replaced, seen: replaced ? 'yes' : 'no' }]),
  ];
}

function compareCallers({ tally, figures, backlog }: Outcome): Finding[] {
  const { renewals, batch } = tally.errands;
  const untold = [...figures.allocationIds].filter((id) => !tally.allocations.has(id)).length;
  const unknown = [...tally.allocations].filter((id) => !figures.allocationIds.has(id)).length;
  return [
    agree('every request came to one end', [
      ['ended', tally.ended, tally.sent],
      ['faults', tally.faults.length, 0],
      ['undecided', backlog.undecided, 0],
    ]),
    agree('callers and store agree on every grant', [
      ['granted', figures.granted, tally.allocations.size],
      ['untold', untold, 0],
      ['unknown', unknown, 0],
    ]),
    agree('callers and store agree on every extension', [
      ['extensions', tally.extended + renewals.extended + batch.extended, figures.extensions],
    ]),
    agree('a repeated call got the same answer', [['differed', tally.differed, 0]]),
  ];
}

function compareNeighbours({ figures, standIns: { user, billing, notification }, backlog }: Outcome): Finding[] {
  return [
    agree('billing received each ended lease once, to the second', [
      ['leases', billing.allocations, figures.ledgerRows],
      ['seconds', billing.seconds, figures.ledgerSeconds],
      ['still owed', backlog.bills, 0],
    ]),
    agree('reported usage nets to the leases that live', [
      ['devices', user.use.devices, figures.live],
      ['cores', user.use.cpuCores, figures.liveCores],
      ['reports', user.reports, figures.usageReports],
      ['users below zero', user.negative, 0],
    ]),
    agree('every notice reached the notification-service once', [
      ['notices', notification.sent, figures.notices],
      ['still to send', backlog.notices, 0],
    ]),
  ];
}

function compareEvents({ eventIds }: StoreFigures, backlog: Backlog, { arrived }: Pick<EventDesk, 'arrived'>): Finding {
  const received = [...eventIds].filter((id) => arrived.has(id)).length;
  return agree('every event was published and received', [
    ['received', received, eventIds.size],
    ['unpublished', backlog.events, 0],
  ]);
}
