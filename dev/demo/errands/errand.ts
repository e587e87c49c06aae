import type { SchedulerClient } from '../../../queues/client.ts';
import type { EventDesk } from '../event-desk.ts';
import type { Tally } from '../tally.ts';
import type { Desk } from './desk.ts';

/** What an errand works with. */
export interface ErrandParts {
  readonly desk: Desk;
  readonly client: SchedulerClient;
  readonly tally: Tally;
  /** Says what a user may have: the user-service does. */
  readonly setLimit: (userId: string, maxDevices: number | 'no quota') => Promise<void>;
  /** Tells whoever looks on, in one line that stays. */
  readonly tell: (text: string) => void;
}

/** Besides the load, something callers do in real life: it runs from start to end, and throws when it cannot go on. */
export type Errand = (parts: ErrandParts) => Promise<void>;

/** One that needs RabbitMQ. */
export type EventErrand = (parts: ErrandParts, events: EventDesk) => Promise<void>;

/** So many at once, the numbers from 0. */
export function each<T>(count: number, one: (number: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, number) => one(number)));
}
