import { END_REASONS } from '../allocation/end-reason.ts';
import { EVENTS, type EventBody, type EventTopic } from '../events.ts';
import { notice, type OutboxNotice } from './notice.ts';

/**
 * What the person concerned is told when an event has happened. Such a notice costs the state change nothing: it follows
 * from the event's row, and the relay writes it.
 */
const NOTICES: Readonly<Record<string, (payload: unknown) => OutboxNotice | undefined>> = {
  'device.allocated': telling('device.allocated', (body) => notice('allocation_success', body)),
  'scheduler.allocation.failed': telling('scheduler.allocation.failed', (body) => notice('allocation_failed', body)),
  'scheduler.allocation.quota_exceeded': telling('scheduler.allocation.quota_exceeded', (body) => notice('allocation_failed', body)),
  'scheduler.allocation.expired': telling('scheduler.allocation.expired', (body) => notice('allocation_expired', body)),
  'scheduler.allocation.released': telling('scheduler.allocation.released', (body) => {
    const endReason = END_REASONS.find((reason) => reason === body.endReason);
    // There is nobody left to tell when the user is gone.
    return endReason === undefined || endReason === 'user_deleted' ? undefined : notice('device_released', { ...body, endReason });
  }),
  'scheduler.reservation.created': telling('scheduler.reservation.created', (body) => notice('reservation_created', body)),
  'scheduler.reservation.cancelled': telling('scheduler.reservation.cancelled', (body) => notice('reservation_cancelled', body)),
  'scheduler.reservation.reminder': telling('scheduler.reservation.reminder', (body) => notice('reservation_reminder', body)),
  'scheduler.reservation.executed': telling('scheduler.reservation.executed', (body) =>
    body.deviceId === null ? undefined : notice('reservation_executed', { ...body, deviceId: body.deviceId }),
  ),
  'scheduler.reservation.failed': telling('scheduler.reservation.failed', (body) => notice('reservation_failed', body)),
  'scheduler.reservation.expired': telling('scheduler.reservation.expired', (body) => notice('reservation_expired', body)),
  'scheduler.queue.joined': telling('scheduler.queue.joined', (body) => notice('queue_joined', body)),
  'scheduler.queue.fulfilled': telling('scheduler.queue.fulfilled', (body) => notice('queue_fulfilled', body)),
  'scheduler.queue.expired': telling('scheduler.queue.expired', (body) => notice('queue_expired', body)),
  'scheduler.queue.cancelled': telling('scheduler.queue.cancelled', (body) => notice('queue_cancelled', body)),
};

/** The routing keys people are told of. */
export const TOLD_TOPICS: readonly string[] = Object.keys(NOTICES);

/**
 * @param topic    routing key
 * @param payload  the event's own fields; a body that is not as it should be tells nobody anything
 * @returns the notice an event causes, always the same one; undefined when it causes none
 */
export function noticeOfEvent(topic: string, payload: unknown): OutboxNotice | undefined {
  return Object.hasOwn(NOTICES, topic) ? NOTICES[topic]?.(payload) : undefined;
}

function telling<T extends EventTopic>(topic: T, tell: (body: EventBody<T>) => OutboxNotice | undefined) {
  const schema: { safeParse(payload: unknown): { success: true; data: unknown } | { success: false } } = EVENTS[topic];
  return (payload: unknown) => {
    const parsed = schema.safeParse(payload);
    return parsed.success ? tell(parsed.data as EventBody<T>) : undefined;
  };
}
