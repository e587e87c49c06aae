import { setTimeout as pause } from 'node:timers/promises';
import { EVENT, eventJob, eventPayload, GIVEN_UP } from '../../queues/jobs/event.ts';
import type { ActionOf, ConsumedActionName } from '../../shared/consumed/action.ts';
import { messageOf, SchedulerError } from '../../shared/errors.ts';
import { checked, type JobHandler } from '../../shared/run/queue-worker.ts';
import { giveUpEvent } from '../../shared/store/arrived-events.ts';
import { changeHealth, changeStatus, putDevice, settleDevice } from './change-device.ts';
import { blockUser, clearArrears, countFailedPayment, limitUser, putInArrears, unblockUser, warnOfBalance } from './change-user.ts';
import type { Consumed, EventParts, EventResult } from './event-parts.ts';
import { allocateOrder, OrderUndecided, releaseOrder } from './serve-order.ts';

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

/** Longest time a job holds its place in an outage, ms. */
const LONGEST_HOLD_MS = 10_000;

/**
 * The handler of the event queue. An event that failed in its last attempt goes to the dead letters, with the reason.
 *
 * An outage is not the event's fault. Jobs hold their places for a while then, so that a queue is not run through and failed
 * while the database is away; an order that is not decided yet holds none. One whose attempts are used up all the same is not
 * given up: the reconciler enqueues it again.
 *
 * @param holdMs  what the first attempt holds its place, doubled with every further one, ms
 */
export function eventHandlers(
  parts: EventParts,
  attempts: number = eventJob.options.attempts,
  holdMs = 250,
): Readonly<Record<typeof EVENT, JobHandler>> {
  return {
    [EVENT]: checked(eventPayload, async ({ action, ...event }, { signal, attempt }) => {
      try {
        const result = await handlerOf(action.action)(parts, { event, action }, signal);
        return 'reason' in action && action.reason !== undefined ? { ...result, reason: action.reason } : result;
      } catch (error) {
        // Its time is over, or ours: the job has failed already, and the reconciler looks after it.
        if (signal.aborted) throw error;
        if (isOutage(error)) await pause(Math.min(LONGEST_HOLD_MS, holdMs * 2 ** (attempt - 1)), undefined, { signal });
        else if (attempt >= attempts && !(error instanceof OrderUndecided)) return bury(parts, event, action, error);
        throw error;
      }
    }),
  };
}

/** Whether it is somebody else who is away. */
function isOutage(error: unknown): boolean {
  return error instanceof SchedulerError && (error.code === 'STORE_UNAVAILABLE' || error.code === 'QUEUE_UNAVAILABLE');
}

/** The action names its handler, so the two fit: said here once instead of at each row. */
function handlerOf<A extends ConsumedActionName>(name: A) {
  return HANDLERS[name] as (parts: EventParts, consumed: Consumed<ConsumedActionName>, signal: AbortSignal) => Promise<EventResult>;
}

/**
 * To `scheduler.<queue>.failed` on the dead-letter exchange, through the outbox: RabbitMQ may be away just now.
 *
 * @throws Error that begins with `GIVEN_UP` when it is there; STORE_UNAVAILABLE when it is not
 */
async function bury(
  { store, logger }: EventParts,
  { eventId, topic }: Consumed<ConsumedActionName>['event'],
  action: ActionOf<ConsumedActionName>,
  error: unknown,
): Promise<never> {
  const reason = messageOf(error).slice(0, 1_000);
  logger.error({ eventId, topic, err: error }, 'an event of another service was given up after its last attempt');
  await store.transaction((tx) => giveUpEvent(tx, { eventId, topic, action }, reason));
  throw new Error(`${GIVEN_UP}${reason}`, { cause: error });
}
