import { describe, expect, test } from '@jest/globals';
import { errands, errandFigures as figures } from '../run-that-holds.ts';
import { compareErrands, type ErrandOutcome } from './compare-errands.ts';
import { createErrandTally } from './errand-tally.ts';

const good: ErrandOutcome = { errands, figures, alerts: 12, withEvents: true };

function brokenOf(changes: Partial<ErrandOutcome>): readonly string[] {
  return compareErrands({ ...good, ...changes }).flatMap(({ ok, name }) => (ok ? [] : [name]));
}

const BOOKING = 'every booking began';
const RENEWAL = 'leases that extend themselves outlive their time';
const SILENCE = 'silent holders lose their device, beating ones do not';
const SERIES = 'a daily series is booked, begins and is called off';
const QUEUE = 'who joins the queue is served, or leaves';
const BATCH = 'a batch takes, extends, reads and gives back';
const ATOMIC = 'an atomic batch is granted whole or not at all';
const ARREARS = 'arrears end everything, payment lets in again';
const ORDERS = 'every order by event is answered once and given back';
const FAILURE = 'who holds a device that fails is moved to another';

describe('the comparison of errands', () => {
  test('holds when what was planned, told and stored is the same', () => {
    expect(brokenOf({})).toEqual([]);
  });

  test('is broken in every part when nothing happened, though callers and store agree on that', () => {
    const nothing = Object.fromEntries(Object.keys(figures).map((name) => [name, 0])) as unknown as typeof figures;
    const none = { errands: createErrandTally(), figures: nothing, alerts: 0 };
    expect(brokenOf(none)).toEqual([BOOKING, RENEWAL, SILENCE, SERIES, QUEUE, BATCH, ATOMIC, ARREARS, ORDERS, FAILURE]);
    expect(brokenOf({ ...none, withEvents: false })).toEqual([BOOKING, RENEWAL, SILENCE, SERIES, QUEUE, BATCH, ATOMIC]);
  });

  test.each([
    [BOOKING, { bookings: { booked: 40, lateMs: [1] } }],
    [RENEWAL, { renewals: { extended: 5, outlived: 4 } }],
    [SILENCE, { heartbeats: { ...errands.heartbeats, kept: 3 } }],
    [SERIES, { series: { ...errands.series, cancelled: 28 } }],
    [QUEUE, { queue: { ...errands.queue, left: 3 } }],
    [QUEUE, { queue: { ...errands.queue, served: { http: 7, client: 5 } } }],
    [BATCH, { batch: { ...errands.batch, read: 49 } }],
    [ATOMIC, { batch: { ...errands.batch, nobody: 9 } }],
    [ARREARS, { arrears: { ...errands.arrears, refused: 5 } }],
    [ORDERS, { orders: { ...errands.orders, answers: 61 } }],
    [FAILURE, { failures: { ...errands.failures, moved: 3 } }],
  ])('is broken when callers were told otherwise: %s', (name, changes) => {
    expect(brokenOf({ errands: { ...errands, ...changes } })).toEqual([name]);
  });

  test.each([
    [BOOKING, { bookingsBegun: 39 }],
    [RENEWAL, { automatic: 4 }],
    [RENEWAL, { outlived: 4 }],
    [SILENCE, { holdersLost: 5 }],
    [SILENCE, { holdersKept: 3 }],
    [SERIES, { daysBooked: 89 }],
    [SERIES, { daysBegun: 2 }],
    [QUEUE, { queueByClient: 5 }],
    [BATCH, { batchExtended: 49 }],
    [BATCH, { batchReleased: 49 }],
    [ATOMIC, { nobody: 1 }],
    [ARREARS, { arrearsEnded: 11 }],
    [ARREARS, { arrearsEntries: 5 }],
    [ARREARS, { arrearsReservations: 5 }],
    [ARREARS, { arrearsRefused: 7 }],
    [ARREARS, { arrearsLetIn: 5 }],
    [ARREARS, { inArrears: 1 }],
    [ORDERS, { ordersGranted: 59 }],
    [ORDERS, { ordersReleased: 57 }],
    [FAILURE, { deviceFailed: 3 }],
    [FAILURE, { relocated: 3 }],
    [FAILURE, { devicesDown: 1 }],
  ])('is broken when the store holds otherwise: %s %j', (name, changes) => {
    expect(brokenOf({ figures: { ...figures, ...changes } })).toEqual([name]);
  });

  test('is broken when people were not told of their arrears', () => {
    expect(brokenOf({ alerts: 6 })).toEqual([ARREARS]);
  });
});
