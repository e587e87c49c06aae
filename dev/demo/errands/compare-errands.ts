import { agree, type Finding } from '../finding.ts';
import type { ErrandTally } from './errand-tally.ts';
import type { ErrandFigures } from './errand-view.ts';
import { PLAN } from './plan.ts';

/** What is compared of the errands. */
export interface ErrandOutcome {
  readonly errands: ErrandTally;
  readonly figures: ErrandFigures;
  /** Billing alerts people were sent: one when they fell into arrears, one when they were let in again. */
  readonly alerts: number;
  /** Whether the errands that need RabbitMQ ran. */
  readonly withEvents: boolean;
}

/** Of each errand: what was planned, what its callers were told, and what the store holds. A difference anywhere is a fault. */
export function compareErrands({ errands, figures, alerts, withEvents }: ErrandOutcome): readonly Finding[] {
  return [
    compareBookings(errands, figures),
    ...compareRenewals(errands, figures),
    compareSeries(errands, figures),
    compareQueue(errands, figures),
    ...compareBatches(errands, figures),
    ...(withEvents ? [compareArrears(errands, figures, alerts), compareOrders(errands, figures), compareFailures(errands, figures)] : []),
  ];
}

function compareBookings({ bookings }: ErrandTally, figures: ErrandFigures): Finding {
  return agree('every booking began', [
    ['booked', PLAN.bookings, bookings.booked],
    ['begun', PLAN.bookings, bookings.lateMs.length, figures.bookingsBegun],
  ]);
}

function compareRenewals({ renewals, heartbeats }: ErrandTally, figures: ErrandFigures): Finding[] {
  return [
    agree('leases that extend themselves outlive their time', [
      ['extended', PLAN.renewers, renewals.extended, figures.automatic],
      ['outlived', PLAN.renewers, renewals.outlived, figures.outlived],
    ]),
    agree('silent holders lose their device, beating ones do not', [
      ['lost', PLAN.silent, heartbeats.lost, figures.holdersLost],
      ['told so', PLAN.silent, heartbeats.toldLate],
      ['kept', PLAN.beating, heartbeats.kept, figures.holdersKept],
    ]),
  ];
}

function compareSeries({ series }: ErrandTally, figures: ErrandFigures): Finding {
  return agree('a daily series is booked, begins and is called off', [
    ['booked', series.booked, figures.daysBooked],
    ['begun', PLAN.series, series.begun, figures.daysBegun],
    // Of the first series, all but its first day.
    ['called off', series.booked / PLAN.series - 1, series.cancelled, figures.daysCancelled],
  ]);
}

function compareQueue({ queue }: ErrandTally, figures: ErrandFigures): Finding {
  const { http, client } = queue.served;
  return agree('who joins the queue is served, or leaves', [
    ['served', PLAN.joiners, http + client, figures.queueServed],
    ['by client', PLAN.joiners / 2, client, figures.queueByClient],
    ['left', PLAN.leavers, queue.left, figures.queueLeft],
    ['second entries refused', PLAN.leavers, queue.joinedTwice],
  ]);
}

function compareBatches({ batch }: ErrandTally, figures: ErrandFigures): Finding[] {
  return [
    agree('a batch takes, extends, reads and gives back', [
      ['taken', PLAN.batch, batch.taken],
      ['extended', PLAN.batch, batch.extended, figures.batchExtended],
      ['read', PLAN.batch, batch.read],
      ['given back', PLAN.batch, batch.released, figures.batchReleased],
    ]),
    agree('an atomic batch is granted whole or not at all', [
      ['with room', PLAN.allOrNone, batch.together, figures.together],
      ['without', 0, batch.nobody, figures.nobody],
    ]),
  ];
}

function compareArrears({ arrears }: ErrandTally, figures: ErrandFigures, alerts: number): Finding {
  return agree('arrears end everything, payment lets in again', [
    ['leases ended', PLAN.debtors * PLAN.leasesOfDebtor, arrears.ended, figures.arrearsEnded],
    ['entries cancelled', PLAN.debtors, arrears.entries, figures.arrearsEntries],
    ['reservations cancelled', PLAN.debtors, arrears.reservations, figures.arrearsReservations],
    ['refused with 402', PLAN.debtors, arrears.refused, figures.arrearsRefused],
    ['let in again', PLAN.debtors, arrears.letIn, figures.arrearsLetIn],
    ['alerts sent', PLAN.debtors * 2, alerts],
    ['still in arrears', 0, figures.inArrears],
  ]);
}

function compareOrders({ orders }: ErrandTally, figures: ErrandFigures): Finding {
  const refused = [...orders.refusals.values()].reduce((sum, count) => sum + count, 0);
  return agree('every order by event is answered once and given back', [
    ['ordered', PLAN.orders, orders.sent],
    ['answers', PLAN.orders, orders.answers],
    ['granted', orders.granted, figures.ordersGranted],
    ['refused', refused, figures.ordersRefused],
    ['without quota', 1, orders.refusals.get('QUOTA_NOT_FOUND') ?? 0],
    ['given back', orders.granted, orders.released, figures.ordersReleased],
  ]);
}

function compareFailures({ failures }: ErrandTally, figures: ErrandFigures): Finding {
  return agree('who holds a device that fails is moved to another', [
    ['failed', PLAN.unlucky, failures.failed, figures.deviceFailed],
    ['moved', PLAN.unlucky, failures.moved, figures.relocated],
    ['repaired', PLAN.unlucky, failures.repaired],
    ['still down', 0, figures.devicesDown],
  ]);
}
