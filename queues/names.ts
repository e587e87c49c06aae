/**
 * Queues, by what their jobs are for. Maintenance has its own, so no load of users can hold up a schedule; so have notices,
 * so that no notification-service can hold up a bill.
 */
export const QUEUES = {
  allocate: 'allocate',
  release: 'release',
  delivery: 'delivery',
  notice: 'notice',
  maintenance: 'maintenance',
} as const;

export type QueueName = (typeof QUEUES)[keyof typeof QUEUES];
