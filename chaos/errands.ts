import type { Tally } from '../dev/demo/tally.ts';

/** What became of bookings and batches, beside what the driver of requests counts. */
export interface Errands extends Pick<Tally, 'allocations' | 'faults'> {
  /** `lateMs`: of each that has begun, how long after its time. */
  readonly bookings: { booked: number; readonly refusals: Map<string, number>; readonly lateMs: number[] };
  /** Devices taken by batches, and given back. */
  readonly batch: { taken: number; released: number };
  /** Requests whose withdrawal was confirmed. */
  readonly withdrawn: Set<string>;
  /** Calls with a fence that was too low, and how many of them had an effect. */
  readonly lowFences: { sent: number; heeded: number };
}

/** Counts of nothing yet; grants and faults are told to the tally of the requests. */
export function createErrands({ allocations, faults }: Tally): Errands {
  return {
    ...{ allocations, faults },
    bookings: { booked: 0, refusals: new Map(), lateMs: [] },
    batch: { taken: 0, released: 0 },
    withdrawn: new Set(),
    lowFences: { sent: 0, heeded: 0 },
  };
}
