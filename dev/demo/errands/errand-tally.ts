/** What the errands have seen. Times in ms. */
export interface ErrandTally {
  /** `lateMs`: of each that has begun, how long after its time. */
  readonly bookings: { booked: number; readonly lateMs: number[] };
  readonly arrears: { ended: number; entries: number; reservations: number; refused: number; letIn: number };
  readonly renewals: { extended: number; outlived: number };
  readonly heartbeats: { kept: number; beats: number; lost: number; toldLate: number; readonly lostAfterMs: number[] };
  readonly series: { booked: number; begun: number; cancelled: number; readonly lateMs: number[] };
  readonly queue: { readonly served: { http: number; client: number }; left: number; joinedTwice: number; readonly waitMs: number[] };
  readonly batch: { taken: number; extended: number; read: number; released: number; together: number; nobody: number };
  readonly orders: {
    sent: number;
    /** Orders whose event was published twice. */
    twice: number;
    granted: number;
    released: number;
    /** Answers that came, those to a repeat included. */
    answers: number;
    readonly refusals: Map<string, number>;
    readonly decisionMs: number[];
  };
  readonly failures: { failed: number; moved: number; repaired: number };
}

export function createErrandTally(): ErrandTally {
  return {
    bookings: { booked: 0, lateMs: [] },
    arrears: { ended: 0, entries: 0, reservations: 0, refused: 0, letIn: 0 },
    renewals: { extended: 0, outlived: 0 },
    heartbeats: { kept: 0, beats: 0, lost: 0, toldLate: 0, lostAfterMs: [] },
    series: { booked: 0, begun: 0, cancelled: 0, lateMs: [] },
    queue: { served: { http: 0, client: 0 }, left: 0, joinedTwice: 0, waitMs: [] },
    batch: { taken: 0, extended: 0, read: 0, released: 0, together: 0, nobody: 0 },
    orders: { sent: 0, twice: 0, granted: 0, released: 0, answers: 0, refusals: new Map(), decisionMs: [] },
    failures: { failed: 0, moved: 0, repaired: 0 },
  };
}
