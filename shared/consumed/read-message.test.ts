import { describe, expect, test } from '@jest/globals';
import { readMessage } from './read-message.ts';
import { CONSUMED_QUEUES, CONSUMED_TOPICS, topicsOf } from './topics.ts';

const DEVICE = '11111111-1111-4111-8111-111111111111';
const size = { cpuCores: 2, memoryMB: 2048, storageMB: 4096 };
const device = { id: DEVICE, status: 'creating', ...size };

const read = (topic: string, body: unknown, messageId?: string) =>
  readMessage({ topic, content: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), messageId });
const actionOf = (topic: string, body: unknown) => {
  const message = read(topic, body);
  return message.kind === 'event' ? message.action : message.reason;
};

const SAID: readonly (readonly [topic: string, body: Record<string, unknown>, action: Record<string, unknown>])[] = [
  ['device.created', { deviceId: DEVICE, ...size }, { action: 'put-device', device }],
  ['device.started', { deviceId: DEVICE }, { action: 'set-device-status', deviceId: DEVICE, status: 'running' }],
  ['device.started', { deviceId: DEVICE, ...size }, { action: 'put-device', device: { ...device, status: 'running' } }],
  ['device.status_changed', { deviceId: DEVICE, newStatus: 'paused' }, { action: 'set-device-status', deviceId: DEVICE, status: 'paused' }],
  ['device.stopped', { deviceId: DEVICE }, { action: 'set-device-status', deviceId: DEVICE, status: 'stopped' }],
  ['device.error', { deviceId: DEVICE }, { action: 'set-device-status', deviceId: DEVICE, status: 'error' }],
  ['device.failed', { deviceId: DEVICE }, { action: 'set-device-status', deviceId: DEVICE, status: 'error' }],
  ['device.permanent_failure', { deviceId: DEVICE }, { action: 'set-device-status', deviceId: DEVICE, status: 'error' }],
  [
    'device.maintenance',
    { deviceId: DEVICE, maintenanceType: 'planned' },
    { action: 'set-device-status', deviceId: DEVICE, status: 'maintenance', reason: 'planned' },
  ],
  ['device.deleted', { deviceId: DEVICE }, { action: 'set-device-status', deviceId: DEVICE, status: 'deleted' }],
  ['device.health', { deviceId: DEVICE, healthScore: 70 }, { action: 'note-health', deviceId: DEVICE, healthScore: 70 }],
  ['device.usage', { deviceId: DEVICE, cpuUsage: 12.5 }, { action: 'note-health', deviceId: DEVICE, cpuUsage: 12.5 }],
  ['user.deleted', { userId: 'ann' }, { action: 'block-user', userId: 'ann', state: 'deleted' }],
  ['user.suspended', { userId: 'ann', reason: 'spam' }, { action: 'block-user', userId: 'ann', state: 'suspended', reason: 'spam' }],
  ['user.activated', { userId: 'ann' }, { action: 'unblock-user', userId: 'ann' }],
  ['user.quota_updated', { userId: 'ann', newQuota: { maxDevices: 2 } }, { action: 'limit-user', userId: 'ann', maxDevices: 2 }],
  ['quota.updated', { userId: 'ann', limits: { maxDevices: 3 } }, { action: 'limit-user', userId: 'ann', maxDevices: 3 }],
  ['quota.updated', { userId: 'ann', limits: { maxDevices: -1 } }, { action: 'limit-user', userId: 'ann', maxDevices: null }],
  ['user.quota_exceeded', { userId: 'ann' }, { action: 'limit-user', userId: 'ann', maxDevices: null }],
  ['quota.exceeded', { userId: 'ann' }, { action: 'limit-user', userId: 'ann', maxDevices: null }],
  ['billing.payment_failed', { userId: 'ann', amount: '9.90' }, { action: 'count-failed-payment', userId: 'ann', amount: 9.9 }],
  [
    'billing.overdue',
    { userId: 'ann', overdueAmount: 5, overdueDays: 3 },
    { action: 'put-in-arrears', userId: 'ann', overdueAmount: 5, overdueDays: 3 },
  ],
  ['billing.invoice_overdue', { userId: 'ann' }, { action: 'put-in-arrears', userId: 'ann', overdueAmount: null, overdueDays: null }],
  ['billing.balance_low', { userId: 'ann', currentBalance: 1 }, { action: 'warn-of-balance', userId: 'ann', currentBalance: 1 }],
  ['billing.low_balance', { userId: 'ann' }, { action: 'warn-of-balance', userId: 'ann', currentBalance: null }],
  ['billing.payment_success', { userId: 'ann', newBalance: 9 }, { action: 'clear-arrears', userId: 'ann' }],
  ['billing.recharged', { userId: 'ann' }, { action: 'clear-arrears', userId: 'ann' }],
  [
    'device.allocate.requested',
    { orderId: 'o1', userId: 'ann', planId: 'p' },
    { action: 'allocate-order', sagaId: 'o1', orderId: 'o1', userId: 'ann' },
  ],
  ['device.release', { deviceId: DEVICE, userId: 'ann' }, { action: 'release-order', deviceId: DEVICE, userId: 'ann' }],
];

describe('a message', () => {
  test.each(SAID)('under %s is read, flat and in an envelope', (topic, body, action) => {
    expect(actionOf(topic, body)).toEqual(action);
    expect(actionOf(topic, { eventId: 'e1', eventType: topic, payload: body })).toEqual(action);
  });

  test.each([
    ['x'.repeat(300), 'x'.repeat(200)],
    ['a\u0000b\ud800', 'ab\ufffd'],
    [7, undefined],
  ])('is not refused for its reason %j', (said, reason) => {
    expect(actionOf('user.suspended', { userId: 'ann', reason: said })).toEqual({
      ...{ action: 'block-user', userId: 'ann', state: 'suspended' },
      reason,
    });
  });

  test('of every key we listen to has its line above, and one queue', () => {
    expect([...new Set(SAID.map(([topic]) => topic))].toSorted()).toEqual(Object.keys(CONSUMED_TOPICS).toSorted());
    expect(CONSUMED_QUEUES.flatMap(topicsOf).toSorted()).toEqual(Object.keys(CONSUMED_TOPICS).toSorted());
  });

  test('has the id of its body, else of the message, else one made of key and body', () => {
    const idOf = (...said: Parameters<typeof read>) => {
      const message = read(...said);
      return message.kind === 'event' ? message.eventId : undefined;
    };
    expect(idOf('user.activated', { userId: 'ann', eventId: 'e1' }, 'm1')).toBe('e1');
    expect(idOf('user.activated', { userId: 'ann' }, 'm1')).toBe('m1');
    expect(idOf('user.activated', { userId: 'ann', eventId: '\ud800' }, 'm1')).toBe('m1');
    expect(idOf('user.activated', { userId: 'ann' })).toMatch(/^[0-9a-f]{64}$/);
    expect(idOf('user.activated', { userId: 'ann' })).toBe(idOf('user.activated', { userId: 'ann' }));
    expect(idOf('user.activated', { userId: 'ann' })).not.toBe(idOf('user.deleted', { userId: 'ann' }));
  });

  test.each([
    ['no JSON', 'user.deleted', 'oh no'],
    ['a list', 'user.deleted', []],
    ['without a user', 'user.deleted', {}],
    ['with a device that is no id', 'device.deleted', { deviceId: '7' }],
    ['with a state nobody knows', 'device.status_changed', { deviceId: DEVICE, status: 'asleep' }],
    ['of a device without a size', 'device.created', { deviceId: DEVICE }],
    ['addressed to no routing key', 'device.allocate.requested', { orderId: 'o 1', userId: 'ann' }],
    ['named with a NUL', 'device.created', { deviceId: DEVICE, ...size, name: 'a\u0000b' }],
    ['of an Android that is half a character', 'device.created', { deviceId: DEVICE, ...size, androidVersion: '\ud800' }],
    ['of a user who is half a character', 'user.deleted', { userId: 'ann\udc00' }],
    ['of an order that is half a character', 'device.allocate.requested', { sagaId: 's1', orderId: '\ud800', userId: 'ann' }],
    ['answered where orders are sent to', 'device.allocate.requested', { sagaId: 'requested', orderId: 'o1', userId: 'ann' }],
    ['answered where orders are sent to, by its order', 'device.allocate.requested', { orderId: 'requested', userId: 'ann' }],
    ['under a key nobody listens to', 'toString', {}],
    ['too large', 'user.deleted', { userId: 'ann', words: 'x'.repeat(300_000) }],
  ])('%s is malformed, and says why', (_what, topic, body) => {
    expect(read(topic, body)).toEqual({ kind: 'malformed', reason: expect.stringMatching(/./) });
  });
});
