import type { StandInSummary } from '../dev/demo/compare.ts';
import { agree, type Finding } from '../dev/demo/finding.ts';
import type { Backlog, StoreFigures } from '../dev/demo/ledger-view.ts';
import type { Tally } from '../dev/demo/tally.ts';
import type { Errands } from './errands.ts';
import type { EventLog } from './event-log.ts';

export interface Outcome {
  readonly tally: Tally;
  readonly figures: StoreFigures;
  readonly backlog: Backlog;
  readonly standIns: StandInSummary;
  /** Batches of bills that came under a key of another batch. */
  readonly reshuffled: number;
  readonly events: Pick<EventLog, 'arrived'>;
  readonly errands: Errands;
}

/** Compares what callers were told, what the store holds, and what the neighbours and the broker received. */
export function compareOutcome({ tally, errands, figures, backlog, standIns, reshuffled, events }: Outcome): readonly Finding[] {
  const { billing, user, notification } = standIns;
  const untold = [...figures.allocationIds].filter((id) => !tally.allocations.has(id)).length;
  const unknown = [...tally.allocations].filter((id) => !figures.allocationIds.has(id)).length;
  return [
    agree('every request came to one end', [
      ['ended', tally.ended, tally.sent],
      ['faults', tally.faults.length, 0],
      ['undecided', backlog.undecided, 0],
    ]),
    agree('callers and store agree on every grant', [
      ['untold', untold, 0],
      ['unknown', unknown, 0],
      ['granted requests', figures.granted, tally.allocations.size],
    ]),
    agree('callers and store agree on every extension', [['extensions', figures.extensions, tally.extended]]),
    agree('every booking began', [['begun', errands.bookings.lateMs.length, errands.bookings.booked]]),
    agree('a batch gave back what it took', [['devices', errands.batch.released, errands.batch.taken]]),
    agree('a fence that is too low is not heeded', [['heeded', errands.lowFences.heeded, 0]]),
    agree('a repeated call got the same answer', [['differed', tally.differed, 0]]),
    agree('billing received each ended lease once, to the second', [
      ['leases', billing.allocations, figures.ledgerRows],
      ['seconds', billing.seconds, figures.ledgerSeconds],
      ['still owed', backlog.bills, 0],
      ['batches put together anew under their key', reshuffled, 0],
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
    compareEvents(figures, backlog, events),
    agree('nothing was given up', [['dead letters', figures.dead, 0]]),
  ];
}

function compareEvents({ eventIds }: StoreFigures, backlog: Backlog, { arrived }: Pick<EventLog, 'arrived'>): Finding {
  const received = [...eventIds].filter((id) => arrived.has(id)).length;
  return agree('every event was published and received', [
    ['received', received, eventIds.size],
    ['unpublished', backlog.events, 0],
  ]);
}
