/**
 * Queues, by what their jobs are for. Maintenance has its own, so no load of users can hold up a schedule; so has what
 * goes to each neighbour (`delivery` the reports of use, `billing` the bills, `notice`), so that one that is slow holds up nothing for the others, and extensions, so that who holds a device keeps it while thousands
 * ask for one. The looks at reservations are not behind those who book some, nor who joins the waiting queue behind who looks through it.
 */
export const QUEUES = {
  allocate: 'allocate',
  release: 'release',
  extend: 'extend',
  delivery: 'delivery',
  billing: 'billing',
  notice: 'notice',
  event: 'event',
  maintenance: 'maintenance',
  waitlist: 'waitlist',
  join: 'join',
  reserve: 'reserve',
  reservations: 'reservations',
  relay: 'relay',
} as const;

export type QueueName = (typeof QUEUES)[keyof typeof QUEUES];
