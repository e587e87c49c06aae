import type { ConsumedActionName } from './action.ts';

/** The body of an event, its envelope taken off. */
export type Body = Readonly<Record<string, unknown>>;

/** The queues events wait for us in, `scheduler.<name>`. */
export const CONSUMED_QUEUES = ['devices', 'users', 'billing', 'orders'] as const;

export type ConsumedQueue = (typeof CONSUMED_QUEUES)[number];

export interface Topic {
  readonly queue: ConsumedQueue;
  readonly action: ConsumedActionName | ((body: Body) => ConsumedActionName);
  /** The fields of the action, in our words; what does not fit is refused by the schema of the action. */
  readonly fields: (body: Body) => Readonly<Record<string, unknown>>;
}

const device = (action: ConsumedActionName, fields: Topic['fields']): Topic => ({ queue: 'devices', action, fields });
const user = (action: ConsumedActionName, fields: Topic['fields'] = () => ({})): Topic => ({
  queue: 'users',
  action,
  fields: (body) => ({ userId: body['userId'], ...fields(body) }),
});
const billing = (action: ConsumedActionName, fields: Topic['fields'] = () => ({})): Topic => ({
  queue: 'billing',
  action,
  fields: (body) => ({ userId: body['userId'], ...fields(body) }),
});

const idOf = (body: Body) => body['deviceId'] ?? body['id'];
const object = (value: unknown): Body => (typeof value === 'object' && value !== null ? (value as Body) : {});

const words = (body: Body, status: string) => ({
  device: {
    ...body,
    status: body['newStatus'] ?? body['status'] ?? status,
    id: idOf(body),
  },
});
const setStatus = (status?: string) =>
  device('set-device-status', (body) => ({
    deviceId: idOf(body),
    status: status ?? body['newStatus'] ?? body['status'],
    reason: body['reason'] ?? body['maintenanceType'],
  }));
const noteHealth = device('note-health', (body) => ({ ...body, deviceId: idOf(body) }));

const limitUser = user('limit-user', (body) => ({
  maxDevices: object(body['limits'])['maxDevices'] ?? object(body['newQuota'])['maxDevices'] ?? null,
}));
const blockUser = (state: string) => user('block-user', ({ reason }) => ({ state, reason }));
const arrears = billing('put-in-arrears', ({ overdueAmount, overdueDays }) => ({ overdueAmount, overdueDays }));
const balanceLow = billing('warn-of-balance', ({ currentBalance }) => ({ currentBalance }));
const order = (action: ConsumedActionName, fields: Topic['fields']): Topic => ({ queue: 'orders', action, fields });

/** Every routing key we listen to, the names neighbours really publish under included. */
export const CONSUMED_TOPICS = {
  'device.created': device('put-device', (body) => words(body, 'creating')),
  // Of a device that is known, no more than its id need be said.
  'device.started': {
    queue: 'devices',
    action: (body) => (body['cpuCores'] === undefined ? 'set-device-status' : 'put-device'),
    fields: (body) => ({ deviceId: idOf(body), ...words(body, 'running'), status: 'running' }),
  },
  'device.status_changed': setStatus(),
  'device.stopped': setStatus('stopped'),
  'device.error': setStatus('error'),
  'device.failed': setStatus('error'),
  'device.permanent_failure': setStatus('error'),
  'device.maintenance': setStatus('maintenance'),
  'device.deleted': setStatus('deleted'),
  'device.health': noteHealth,
  'device.usage': noteHealth,
  'user.deleted': blockUser('deleted'),
  'user.suspended': blockUser('suspended'),
  'user.activated': user('unblock-user'),
  'user.quota_updated': limitUser,
  'quota.updated': limitUser,
  'user.quota_exceeded': limitUser,
  'quota.exceeded': limitUser,
  'billing.payment_failed': billing('count-failed-payment', ({ amount }) => ({ amount })),
  'billing.overdue': arrears,
  'billing.invoice_overdue': arrears,
  'billing.balance_low': balanceLow,
  'billing.low_balance': balanceLow,
  'billing.payment_success': billing('clear-arrears'),
  'billing.recharged': billing('clear-arrears'),
  'device.allocate.requested': order('allocate-order', (body) => ({ ...body, sagaId: body['sagaId'] ?? body['orderId'] })),
  'device.release': order('release-order', (body) => ({ ...body, deviceId: idOf(body) })),
} as const satisfies Readonly<Record<string, Topic>>;

export type ConsumedTopic = keyof typeof CONSUMED_TOPICS;

/** How the events of a routing key are read. */
export function topicRow(topic: ConsumedTopic): Topic {
  return CONSUMED_TOPICS[topic];
}

/** The routing keys of one queue. */
export function topicsOf(queue: ConsumedQueue): readonly string[] {
  return Object.entries(CONSUMED_TOPICS).flatMap(([topic, row]) => (row.queue === queue ? [topic] : []));
}

/** Narrows a routing key to one we listen to. */
export function isConsumedTopic(topic: string): topic is ConsumedTopic {
  return Object.hasOwn(CONSUMED_TOPICS, topic);
}

/** Where an event that was given up is told of on the dead-letter exchange. */
export function deadTopicOf(topic: string): string {
  return `scheduler.${isConsumedTopic(topic) ? CONSUMED_TOPICS[topic].queue : 'devices'}.failed`;
}
