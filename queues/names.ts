/** Queues, by what their jobs are for. Maintenance has its own, so no load of users can hold up a schedule. */
export const QUEUES = {
  allocate: 'allocate',
  release: 'release',
  delivery: 'delivery',
  maintenance: 'maintenance',
} as const;

export type QueueName = (typeof QUEUES)[keyof typeof QUEUES];
