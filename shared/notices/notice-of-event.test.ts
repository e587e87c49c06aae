import { describe, expect, test } from '@jest/globals';
import {
  allocationEnded,
  allocationRefused,
  deviceAllocated,
  queueCancelled,
  queueExpired,
  queueFulfilled,
  queueJoined,
} from '../events.ts';
import { noticeOfEvent, TOLD_TOPICS } from './notice-of-event.ts';

const holder = {
  allocationId: '11111111-1111-4111-8111-111111111111',
  deviceId: '22222222-2222-4222-8222-222222222222',
  userId: 'ann',
  tenantId: 't1',
  fence: 7,
};
const at = '2026-01-02T03:04:05.678Z';
const end = { ...holder, endedAt: new Date(at), durationSeconds: 90 };

const told = (events: readonly { topic: string; payload: unknown }[]) =>
  events.map(({ topic, payload }) => noticeOfEvent(topic, payload)).map((notice) => notice && [notice.topic, notice.payload]);

describe('the notice of an event', () => {
  test('a grant is told once, with until when', () => {
    const event = deviceAllocated({ ...holder, allocatedAt: at, expiresAt: at, strategy: 'resource_based' });
    const { allocationId, deviceId } = holder;
    expect(told([event])).toEqual([['allocation_success', { userId: 'ann', data: { allocationId, deviceId, expiresAt: at } }]]);
    expect(noticeOfEvent(event.topic, event.payload)).toEqual(noticeOfEvent(event.topic, event.payload));
  });

  test.each([
    ['expired', 'allocation_expired', 'expiredAt'],
    ['arrears', 'device_released', 'endReason'],
    ['released', 'device_released', 'endReason'],
  ])('an end by %s is told once, as %s', (endReason, type, field) => {
    const notices = told(allocationEnded({ ...end, endReason }));
    expect(notices).toEqual([
      undefined,
      [type, { userId: 'ann', data: expect.objectContaining({ durationSeconds: 90, [field]: expect.any(String) }) }],
    ]);
  });

  test('nobody is told that their account was deleted, or of an end without a known reason', () => {
    expect(told([...allocationEnded({ ...end, endReason: 'user_deleted' }), ...allocationEnded({ ...end, endReason: 'whim' })])).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  test.each(['QUOTA_EXCEEDED', 'NO_DEVICE_AVAILABLE'])('a refusal with %s is told with its code', (code) => {
    const { allocationId: requestId, userId, tenantId } = holder;
    const event = allocationRefused({ requestId, userId, tenantId, code, reason: 'because' });
    expect(told([event])).toEqual([['allocation_failed', { userId: 'ann', data: { requestId, code } }]]);
  });

  test('the stations of a wait are told', () => {
    const entry = { requestId: holder.allocationId, userId: 'ann', tier: 'vip' as const };
    const { allocationId, deviceId } = holder;
    const queueId = entry.requestId;
    expect(
      told([
        queueJoined(entry, 30),
        queueFulfilled(entry, { allocationId, deviceId, waitedMinutes: 3 }),
        queueExpired(entry, 'REQUEST_TIMED_OUT', 30),
        queueCancelled(entry, null),
      ]),
    ).toEqual([
      ['queue_joined', { userId: 'ann', data: { queueId, maxWaitMinutes: 30 } }],
      ['queue_fulfilled', { userId: 'ann', data: { queueId, allocationId, deviceId, waitedMinutes: 3 } }],
      ['queue_expired', { userId: 'ann', data: { queueId, waitedMinutes: 30 } }],
      ['queue_cancelled', { userId: 'ann', data: { queueId, cancelReason: null } }],
    ]);
  });

  test('a body that is not as it should be, and an event that is nobody’s business, tell nothing', () => {
    expect(
      told([
        { topic: 'device.allocated', payload: { step: 1 } },
        { topic: 'toString', payload: {} },
      ]),
    ).toEqual([undefined, undefined]);
    expect(TOLD_TOPICS).not.toContain('device.released');
  });
});
