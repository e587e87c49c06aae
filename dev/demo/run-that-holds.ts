import { compareOutcome, type Outcome } from './compare.ts';
import { createErrandTally, type ErrandTally } from './errands/errand-tally.ts';
import type { ErrandFigures } from './errands/errand-view.ts';
import { PLAN } from './errands/plan.ts';
import { createTally } from './tally.ts';

/*
 * A small run in which everything happened and holds, for tests to break.
 */

const DAYS = 90;

/** Every errand went as planned. */
export const errands: ErrandTally = {
  ...createErrandTally(),
  bookings: { booked: PLAN.bookings, lateMs: Array.from({ length: PLAN.bookings }, () => 100) },
  arrears: { ended: 12, entries: 6, reservations: 6, refused: 6, letIn: 6 },
  renewals: { extended: 5, outlived: 5 },
  heartbeats: { kept: 4, beats: 28, lost: 4, toldLate: 4, lostAfterMs: [20_000] },
  series: { booked: DAYS, begun: 3, cancelled: DAYS / 3 - 1, lateMs: [10] },
  queue: { served: { http: 6, client: 6 }, left: 4, joinedTwice: 4, waitMs: [1_000] },
  batch: { taken: 50, extended: 50, read: 50, released: 50, together: 10, nobody: 0 },
  orders: {
    sent: 60,
    twice: 12,
    granted: 58,
    released: 58,
    answers: 60,
    refusals: new Map([
      ['QUOTA_NOT_FOUND', 1],
      ['NO_DEVICE_AVAILABLE', 1],
    ]),
    decisionMs: Array.from({ length: PLAN.orders }, () => 50),
  },
  failures: { failed: 4, moved: 4, repaired: 4 },
};

/** What the store says of them. */
export const errandFigures: ErrandFigures = {
  bookingsBegun: PLAN.bookings,
  ...{ arrearsEnded: 12, arrearsEntries: 6, arrearsReservations: 6, arrearsRefused: 6, arrearsLetIn: 6, inArrears: 0 },
  ...{ automatic: 5, outlived: 5, holdersLost: 4, holdersKept: 4 },
  ...{ daysBooked: DAYS, daysBegun: 3, daysCancelled: DAYS / 3 - 1 },
  ...{ queueServed: 12, queueByClient: 6, queueLeft: 4 },
  ...{ batchReleased: 50, batchExtended: 50, together: 10, nobody: 0 },
  ...{ ordersGranted: 58, ordersRefused: 2, ordersReleased: 58 },
  ...{ deviceFailed: 4, relocated: 4, devicesDown: 0 },
};

export const happened = Object.assign(createTally(), { sent: 3, ended: 3, allocations: new Set(['a', 'b']), errands });

export const figures: Outcome['figures'] = {
  ...{ granted: 2, live: 1, liveCores: 4, extensions: 55, ledgerRows: 1, ledgerSeconds: 9, usageReports: 3, notices: 20, dead: 0 },
  ended: { released: 1 },
  allocationIds: new Set(['a', 'b']),
  eventIds: new Set(['x']),
  errands: errandFigures,
};

export const standIns: Outcome['standIns'] = {
  user: { reports: 3, repeats: 1, negative: 0, use: { devices: 1, cpuCores: 4 } },
  billing: { allocations: 1, seconds: 9, repeats: 0 },
  notification: { sent: 20, types: { billing_alert: 12, allocation_success: 8 } },
};

export const outcome: Outcome = {
  ...{ tally: happened, figures, standIns, withEvents: true, replaced: true },
  backlog: { undecided: 0, events: 0, usageReports: 0, bills: 0, notices: 0 },
  events: { arrived: new Map([['x', 2]]) },
};

/** The names of what does not hold when something is changed. */
export function brokenOf(changes: Partial<Outcome>): readonly string[] {
  return compareOutcome({ ...outcome, ...changes }).flatMap(({ ok, name }) => (ok ? [] : [name]));
}
