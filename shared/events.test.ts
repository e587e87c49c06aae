import { describe, expect, test } from '@jest/globals';
import {
  allocationEnded,
  allocationExtended,
  allocationRefused,
  deviceAllocated,
  EVENTS,
  type EventTopic,
  exchangeOf,
  isEventTopic,
  publishedBody,
  usageReportFailed,
} from './events.ts';

const holder = {
  allocationId: '11111111-1111-4111-8111-111111111111',
  deviceId: '22222222-2222-4222-8222-222222222222',
  userId: 'ann',
  tenantId: null,
  fence: 7,
};
const at = new Date('2026-01-02T03:04:05.678Z');
const later = new Date('2026-01-02T04:04:05.678Z');

function expectValid(event: { topic: EventTopic; payload: unknown }) {
  expect(EVENTS[event.topic].safeParse(event.payload)).toMatchObject({ success: true });
}

describe('events', () => {
  test('a grant is told with device, holder, fence and times, and nothing secret that came with the row', () => {
    const times = { allocatedAt: at.toISOString(), expiresAt: later.toISOString() };
    const row = { ...holder, ...times, strategy: 'resource_based', adbHost: '10.0.0.1' };
    const event = deviceAllocated(row);
    expectValid(event);
    expect(event).toEqual({
      topic: 'device.allocated',
      key: holder.allocationId,
      payload: { ...holder, ...times, strategy: 'resource_based' },
    });
  });

  test.each([
    ['released', 'scheduler.allocation.released'],
    ['arrears', 'scheduler.allocation.released'],
    ['expired', 'scheduler.allocation.expired'],
  ])('an end by %s is told as device.released first, then as %s', (endReason, topic) => {
    const events = allocationEnded({ ...holder, endedAt: later, durationSeconds: 3_600, endReason });
    events.forEach(expectValid);
    expect(events.map((event) => event.topic)).toEqual(['device.released', topic]);
    expect(events.map((event) => event.key)).toEqual([holder.allocationId, holder.allocationId]);
  });

  test('an extension is told with the old and the new end', () => {
    const extension = { automatic: true, oldExpiresAt: at, newExpiresAt: later, additionalMinutes: 60, extendCount: 2 };
    const event = allocationExtended({ ...holder, ...extension });
    expectValid(event);
    expect(event.payload).toMatchObject({ automatic: true, oldExpiresAt: at.toISOString(), newExpiresAt: later.toISOString() });
  });

  test.each([
    ['QUOTA_EXCEEDED', 'scheduler.allocation.quota_exceeded'],
    ['NO_DEVICE_AVAILABLE', 'scheduler.allocation.failed'],
  ])('a refusal with %s is told as %s', (code, topic) => {
    const event = allocationRefused({ requestId: holder.allocationId, userId: 'ann', tenantId: 't1', code, reason: 'because' });
    expectValid(event);
    expect(event).toMatchObject({ topic, key: holder.allocationId });
  });

  test('a dead letter of billing goes to the dead-letter exchange, everything else to the events', () => {
    const usage = { durationSeconds: 5, cpuCores: 2, memoryMB: 4_096, storageMB: 1_024 };
    const { fence: _, ...owner } = holder;
    const letter = usageReportFailed({ ...owner, usage, allocatedAt: at, releasedAt: later, failureReason: 'no answer', retryCount: 10 });
    expectValid(letter);
    expect(exchangeOf(letter.topic)).toBe('cloudphone.dlx');
    expect(exchangeOf('device.allocate.saga-1')).toBe('cloudphone.events');
  });

  test('the published body is flat and the same every time', () => {
    const stored = { eventId: 'e1', topic: 'device.allocated', payload: { deviceId: 'd1' }, createdAt: at };
    expect(publishedBody(stored)).toEqual({
      deviceId: 'd1',
      eventId: 'e1',
      type: 'device.allocated',
      version: 1,
      timestamp: '2026-01-02T03:04:05.678Z',
    });
    expect(publishedBody(stored)).toEqual(publishedBody(stored));
  });

  test('a routing key nobody publishes is not one of ours', () => {
    expect(isEventTopic('device.allocated')).toBe(true);
    expect(isEventTopic('toString')).toBe(false);
  });
});
