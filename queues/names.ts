/**
 * Queues, by what their jobs are for. Maintenance has its own, so no load of users can hold up a schedule; so have notices,
 * so that no notification-service can hold up a bill, and extensions, so that who holds a device keeps it while thousands
 * ask for one. The looks at reservations are not behind those who book some, nor who joins the waiting queue behind who looks through it.
 */
export const QUEUES = {
  allocate: 'allocate',
  release: 'release',
  extend: 'extend',
  delivery: 'delivery',
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
