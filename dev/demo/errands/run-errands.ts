import { messageOf } from '../../../shared/errors.ts';
import type { EventDesk } from '../event-desk.ts';
import { bookAhead } from './book-ahead.ts';
import { bookSeries } from './book-series.ts';
import type { Errand, ErrandParts, EventErrand } from './errand.ts';
import { extendByItself } from './extend-by-itself.ts';
import { failDevices } from './fail-devices.ts';
import { fallIntoArrears } from './fall-into-arrears.ts';
import { joinAndLeave } from './join-and-leave.ts';
import { keepBeating } from './keep-beating.ts';
import { orderByEvent } from './order-by-event.ts';
import { takeBatches } from './take-batches.ts';

const ERRANDS: Readonly<Record<string, Errand>> = {
  bookings: bookAhead,
  series: bookSeries,
  'automatic extensions': extendByItself,
  heartbeats: keepBeating,
  'the queue': joinAndLeave,
  batches: takeBatches,
};

const EVENT_ERRANDS: Readonly<Record<string, EventErrand>> = {
  arrears: fallIntoArrears,
  'failing devices': failDevices,
  orders: orderByEvent,
};

/** Runs all errands beside each other. One that cannot go on is a fault of the run, and stops no other. */
export async function runErrands(parts: ErrandParts, events: EventDesk | undefined): Promise<void> {
  const guarded = async (name: string, work: Promise<void>) => {
    try {
      await work;
    } catch (error) {
      parts.tally.faults.push(`${name}: ${messageOf(error)}`);
    }
  };
  const always = Object.entries(ERRANDS).map(([name, errand]) => guarded(name, errand(parts)));
  const byEvent = events === undefined ? [] : Object.entries(EVENT_ERRANDS).map(([name, errand]) => guarded(name, errand(parts, events)));
  await Promise.all([...always, ...byEvent]);
}
