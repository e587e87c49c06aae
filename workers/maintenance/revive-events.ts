import type { FailedEvent } from '../../queues/jobs/event.ts';
import type { Producer } from '../../queues/producer.ts';
import { SchedulerError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { OVERRAN } from '../../shared/run/running-jobs.ts';
import { giveUpEvent } from '../../shared/store/arrived-events.ts';
import type { Store } from '../../shared/store/store.ts';

/** Failed events looked at in one run. */
const FAILED_EVENTS = 500;

/** BullMQ's words for a job that took its workers with it, or was started far too often; and ours for one that never ended. */
const HOPELESS = ['more than allowable limit', OVERRAN];

interface ReviveParts {
  readonly store: Store;
  readonly producer: Producer;
  readonly logger: Logger;
}

/**
 * Enqueues events again whose last attempt fell into an outage: nobody gave them up. One that killed its workers, or
 * outran its deadline to the last, would only go on doing so; it goes to the dead letters. While too many events wait the rest is left for the next run.
 *
 * @returns how many were looked after
 * @throws SchedulerError STORE_UNAVAILABLE, QUEUE_UNAVAILABLE
 */
export async function reviveEvents(parts: ReviveParts): Promise<number> {
  let revived = 0;
  for (const event of await parts.producer.unburiedEvents(FAILED_EVENTS)) {
    if (HOPELESS.some((words) => event.reason.includes(words))) await bury(parts, event);
    else if (!(await enqueued(parts.producer, event))) break;
    revived += 1;
  }
  return revived;
}

async function enqueued(producer: Producer, { payload }: FailedEvent): Promise<boolean> {
  try {
    await producer.event(payload);
    return true;
  } catch (error) {
    if (error instanceof SchedulerError && error.code === 'OVERLOADED') return false;
    throw error;
  }
}

/** Told before the job is forgotten: whoever dies in between tells it twice, under the same id, not never. */
async function bury({ store, producer, logger }: ReviveParts, { payload, reason }: FailedEvent): Promise<void> {
  logger.error({ eventId: payload.eventId, topic: payload.topic, reason }, 'an event of another service was given up');
  await store.transaction((tx) => giveUpEvent(tx, payload, reason));
  await producer.dropEvent(payload);
}
