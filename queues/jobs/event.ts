import { hash } from 'node:crypto';
import { z } from 'zod';
import { consumedAction } from '../../shared/consumed/action.ts';
import type { JobOptions } from '../job-options.ts';
import { QUEUES } from '../names.ts';

/** Name of the job that does what an event of another service asks for. */
export const EVENT = 'event';

/** An event as it was read: its own id, the routing key it came under, and what it asks for. */
export const eventPayload = z.object({
  eventId: z.string().min(1).max(200),
  topic: z.string().min(1).max(255),
  action: consumedAction,
});

export type EventPayload = z.output<typeof eventPayload>;

/** How the reason of a job begins whose event is in the dead letters. */
export const GIVEN_UP = 'given up: ';

/** An event whose job failed for good, and the reason of its last attempt. */
export interface FailedEvent {
  readonly payload: EventPayload;
  readonly reason: string;
}

/** What may be the id of a job as it is: BullMQ keeps colons and bare numbers for itself. */
const PLAIN = /^(?=.*\D)[\w.-]{1,100}$/;

/** The event's id names the job, so a repeat while the first waits is one job; after that the inbox knows it. */
export const eventJob = {
  queue: QUEUES.event,
  name: EVENT,
  payload: eventPayload,
  idOf: ({ eventId }: Pick<EventPayload, 'eventId'>): string => (PLAIN.test(eventId) ? eventId : hash('sha256', eventId, 'hex')),
  options: {
    attempts: 8,
    backoff: { type: 'exponential', delay: 500, jitter: 0.5 },
    removeOnComplete: { age: 600, count: 1_000, limit: 1_000 },
    removeOnFail: { age: 7 * 24 * 3_600, count: 10_000, limit: 1_000 },
  } satisfies JobOptions,
} as const;
