/** How many of each errand there are: what has to have happened at the end is measured against this. */
export const PLAN = {
  bookings: 40,
  debtors: 6,
  leasesOfDebtor: 2,
  renewers: 5,
  beating: 4,
  silent: 4,
  series: 3,
  /** Days of each series; the last ones lie beyond the horizon. */
  seriesDays: 40,
  joiners: 12,
  leavers: 4,
  batch: 50,
  allOrNone: 10,
  orders: 60,
  unlucky: 4,
} as const;

/** What users of errands are called: the store is searched by it at the end. */
export type ErrandUser =
  | 'booker'
  | 'debtor'
  | 'renewer'
  | 'beating'
  | 'silent'
  | 'regular'
  | 'joiner'
  | 'leaver'
  | 'batch'
  | 'together'
  | 'nobody'
  | 'order'
  | 'unlucky';

export const errandUser = (kind: ErrandUser, number: number): string => `demo-${kind}-${String(number).padStart(2, '0')}`;
