/** What has left the outbox: events published, and what was handed to delivery jobs. */
export type Left = Record<'events' | 'usageReports' | 'bills' | 'notices', number>;

/** Counts what leaves between two looks at the count. */
export interface Tally {
  add(kind: keyof Left, count: number): void;
  /** What was added since it was last taken. */
  take(): Left;
}

export function createTally(): Tally {
  const none: Left = { events: 0, usageReports: 0, bills: 0, notices: 0 };
  let left = { ...none };
  return {
    add: (kind, count) => {
      left[kind] += count;
    },
    take: () => {
      const taken = left;
      left = { ...none };
      return taken;
    },
  };
}
