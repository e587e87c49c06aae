import type { Tally } from '../dev/demo/tally.ts';

/** What became of bookings and batches, beside what the driver of requests counts. */
export interface Errands extends Pick<Tally, 'allocations' | 'faults'> {
  /** `lateMs`: of each that has begun, how long after its time. */
  readonly bookings: { booked: number; readonly refusals: Map<string, number>; readonly lateMs: number[] };
  /** Devices taken by batches, and given back. */
  readonly batch: { taken: number; released: number };
}

/** Counts of nothing yet; grants and faults are told to the tally of the requests. */
export function createErrands({ allocations, faults }: Tally): Errands {
  return { allocations, faults, bookings: { booked: 0, refusals: new Map(), lateMs: [] }, batch: { taken: 0, released: 0 } };
}
