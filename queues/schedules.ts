const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** When a recurring job runs: every so many ms, or by cron in a time zone. */
export type Recurrence = { readonly everyMs: number } | { readonly cron: string; readonly tz: string };

export interface Schedule {
  readonly name: string;
  readonly recurrence: Recurrence;
}

/** The recurring jobs, with their usual times; `schedulesFor` puts in what an operator set differently. */
export const SCHEDULES = [
  { name: 'expire', recurrence: { everyMs: SECOND } },
  { name: 'auto-extend', recurrence: { everyMs: 10 * SECOND } },
  { name: 'reconcile', recurrence: { everyMs: MINUTE } },
  { name: 'waitlist', recurrence: { everyMs: 5 * SECOND } },
  { name: 'expiring-soon', recurrence: { everyMs: 30 * SECOND } },
  { name: 'stats', recurrence: { everyMs: 60 * MINUTE } },
  { name: 'billing-retry', recurrence: { everyMs: 15 * MINUTE } },
  { name: 'cleanup', recurrence: { cron: '0 2 * * *', tz: 'UTC' } },
] as const satisfies readonly Schedule[];

/** The recurring jobs of the reservations worker. */
export const RESERVATION_SCHEDULES = [
  { name: 'reservations', recurrence: { everyMs: SECOND } },
  { name: 'reservation-series', recurrence: { everyMs: 10 * MINUTE } },
] as const satisfies readonly Schedule[];

/** The recurring job of the relay. */
export const RELAY_SCHEDULES = [{ name: 'outbox-relay', recurrence: { everyMs: SECOND } }] as const satisfies readonly Schedule[];

/** Every recurring job, whichever worker runs it. */
export const ALL_SCHEDULES = [...SCHEDULES, ...RESERVATION_SCHEDULES, ...RELAY_SCHEDULES] as const;

/** The name of a recurring job. */
export type ScheduledJobName = (typeof ALL_SCHEDULES)[number]['name'];

/**
 * @param expiryTickSeconds  how often due allocations are ended
 * @param cleanupTimeZone    IANA zone of the daily cleanup
 */
export function schedulesFor(settings: { expiryTickSeconds: number; cleanupTimeZone: string }): readonly Schedule[] {
  const changed: Readonly<Record<string, Recurrence>> = {
    expire: { everyMs: settings.expiryTickSeconds * SECOND },
    cleanup: { cron: '0 2 * * *', tz: settings.cleanupTimeZone },
  };
  return SCHEDULES.map(({ name, recurrence }) => ({
    name,
    recurrence: changed[name] ?? recurrence,
  }));
}
