import type { Recurrence } from './schedules.ts';

/** A schedule as Redis has it. */
export interface ScheduleState {
  readonly name: string;
  readonly recurrence: Recurrence | undefined;
  /** When it ticks next; nothing while that is not known. */
  readonly nextRunAt: Date | undefined;
}

/** What BullMQ says of a schedule. */
export function toScheduleState(scheduler: {
  readonly key: string;
  readonly every?: number | string;
  readonly pattern?: string;
  readonly tz?: string;
  readonly next?: number;
}): ScheduleState {
  const { key, every, pattern, tz = 'UTC', next } = scheduler;
  const cron = pattern === undefined ? undefined : { cron: pattern, tz };
  return {
    name: key,
    recurrence: every === undefined ? cron : { everyMs: Number(every) },
    nextRunAt: next === undefined ? undefined : new Date(next),
  };
}
