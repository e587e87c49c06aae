import { EVENT, eventJob, eventPayload } from '../../queues/jobs/event.ts';
import type { ActionOf, ConsumedActionName } from '../../shared/consumed/action.ts';
import { CONSUMED_TOPICS, isConsumedTopic } from '../../shared/consumed/topics.ts';
import { messageOf } from '../../shared/errors.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import { answerEvent } from '../../shared/store/event-effects.ts';
import { changeHealth, changeStatus, putDevice, settleDevice } from './change-device.ts';
import { blockUser, clearArrears, countFailedPayment, limitUser, putInArrears, unblockUser, warnOfBalance } from './change-user.ts';
import type { Consumed, EventParts, EventResult } from './event-parts.ts';
import { allocateOrder, releaseOrder } from './serve-order.ts';

type Handlers = {
  readonly [A in ConsumedActionName]: (parts: EventParts, consumed: Consumed<A>, signal: AbortSignal) => Promise<EventResult>;
};

/** Which verb does what an event asks for: complete by its type. */
const HANDLERS: Handlers = {
  'put-device': putDevice,
  'set-device-status': changeStatus,
  'settle-device': settleDevice,
  'note-health': changeHealth,
  'block-user': blockUser,
  'unblock-user': unblockUser,
  'limit-user': limitUser,
  'count-failed-payment': countFailedPayment,
  'put-in-arrears': putInArrears,
  'warn-of-balance': warnOfBalance,
  'clear-arrears': clearArrears,
  'allocate-order': allocateOrder,
  'release-order': releaseOrder,
};

/** The handler of the event queue. An event that failed in its last attempt goes to the dead letters, with the reason. */
export function eventHandlers(parts: EventParts, attempts: number = eventJob.options.attempts): Readonly<Record<typeof EVENT, JobHandler>> {
  return {
    [EVENT]: checked(eventPayload, async ({ action, ...event }, { signal, attempt }) => {
      try {
        return await handlerOf(action.action)(parts, { event, action }, signal);
      } catch (error) {
        if (attempt >= attempts) await bury(parts, event, action, error);
        throw error;
      }
    }),
  };
}

/** The action names its handler, so the two fit: said here once instead of at each row. */
function handlerOf<A extends ConsumedActionName>(name: A) {
  return HANDLERS[name] as (parts: EventParts, consumed: Consumed<ConsumedActionName>, signal: AbortSignal) => Promise<EventResult>;
}

/** To `scheduler.<queue>.failed` on the dead-letter exchange, through the outbox: RabbitMQ may be away just now. */
async function bury(
  { store, logger }: EventParts,
  { eventId, topic }: Consumed<ConsumedActionName>['event'],
  action: ActionOf<ConsumedActionName>,
  error: unknown,
): Promise<void> {
  const reason = messageOf(error).slice(0, 1_000);
  logger.error({ eventId, topic, err: error }, 'an event of another service was given up after its last attempt');
  const queue = isConsumedTopic(topic) ? CONSUMED_TOPICS[topic].queue : 'devices';
  await store.transaction((tx) =>
    answerEvent(tx, `scheduler.${queue}.failed`, eventId, { consumedEventId: eventId, topic, action, reason }),
  );
}
