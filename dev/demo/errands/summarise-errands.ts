import { amount, spreadInWords, time } from '../amounts.ts';
import type { Row } from '../paper.ts';
import { percentile } from '../tally.ts';
import type { ErrandTally } from './errand-tally.ts';
import { PLAN } from './plan.ts';

/** A row each errand. @param withoutEvents  why those that need RabbitMQ did not run; undefined: they did */
export function errandRows(errands: ErrandTally, withoutEvents: string | undefined): readonly Row[] {
  const { bookings, renewals, heartbeats, series, queue, batch } = errands;
  const { http, client } = queue.served;
  return [
    [
      'booked ahead',
      amount(bookings.booked),
      `${amount(bookings.lateMs.length)} begun, at most ${time(percentile(bookings.lateMs, 1))} after their time`,
    ],
    ['extended by themselves', amount(renewals.extended), `leases of one minute; ${renewals.outlived} lived on after it`],
    [
      'held by heartbeats',
      amount(heartbeats.kept),
      `after ${amount(heartbeats.beats)} beats; ${heartbeats.lost} silent holders lost their device (holder_lost) after ${time(percentile(heartbeats.lostAfterMs, 1))}`,
    ],
    [
      'booked every day',
      amount(series.booked),
      `days of ${PLAN.series} daily series, up to the horizon; ${series.begun} begun, ${series.cancelled} called off`,
    ],
    [
      'joined the queue',
      amount(http + client + queue.left),
      `${http} served over HTTP, ${client} through the client: ${spreadInWords(queue.waitMs)}; ${queue.left} left before`,
    ],
    [
      'taken by one batch',
      amount(batch.taken),
      `${batch.extended} extended, ${batch.read} read and ${batch.released} given back by one call each`,
    ],
    ['all or none', amount(batch.together), `of ${PLAN.allOrNone} with room for all, ${batch.nobody} of ${PLAN.allOrNone} without`],
    ...(withoutEvents === undefined ? eventRows(errands) : [['orders, failures, arrears', '–', withoutEvents] as const]),
  ];
}

function eventRows({ orders, failures, arrears }: ErrandTally): readonly Row[] {
  const refused = [...orders.refusals].map(([code, count]) => `, ${count} ${code}`).join('');
  return [
    [
      'ordered by event',
      amount(orders.sent),
      `${orders.granted} granted${refused}; ${orders.twice} sent twice and answered once; ${orders.released} given back by event`,
    ],
    [
      'device failed',
      amount(failures.failed),
      `while it was held: ${failures.moved} holders moved to another, ${failures.repaired} devices repaired`,
    ],
    [
      'ended by arrears',
      amount(arrears.ended),
      `leases of ${PLAN.debtors} users, with ${arrears.entries} entries and ${arrears.reservations} reservations; ${arrears.refused} asks refused (402), ${arrears.letIn} let in after payment`,
    ],
  ];
}
