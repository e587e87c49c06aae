import { z } from 'zod';
import { DEVICE_TYPES } from '../allocation/asked.ts';
import { isTimeZone } from './wall-clock.ts';

/** Shortest and longest reservation, minutes. */
export const MIN_RESERVED_MINUTES = 15;
export const MAX_RESERVED_MINUTES = 1_440;

const naturalNumber = z.int().min(0).max(2_147_483_647);

const instant = z.iso
  .datetime({ offset: true, abort: true })
  .refine((text) => new Date(text).getTime() >= 0 && new Date(text).getUTCFullYear() < 9_999, 'must lie between 1970 and 9998')
  .transform((text) => new Date(text));

/** How a booking comes again: every so many days or weeks at the same time of the clock in `timeZone`. */
export const recurrence = z
  .strictObject({
    frequency: z.enum(['daily', 'weekly']),
    interval: z.int().min(1).max(52).default(1).describe('Every so many days or weeks'),
    until: instant.optional().describe('No occurrence starts after it'),
    count: z.int().min(1).max(1_000).optional().describe('So many occurrences in all'),
    timeZone: z.string().min(1).max(64).refine(isTimeZone, 'must be an IANA time zone such as Europe/Berlin'),
  })
  .refine(({ until, count }) => (until === undefined) !== (count === undefined), {
    message: 'exactly one of until and count is needed',
    path: ['until'],
  });

export type Recurrence = z.output<typeof recurrence>;

/** What device, for how long: what all occurrences of a series have in common. */
export const wantedDevice = z.strictObject({
  durationMinutes: z.int().min(MIN_RESERVED_MINUTES).max(MAX_RESERVED_MINUTES),
  deviceType: z.enum(DEVICE_TYPES).optional(),
  minCpu: naturalNumber.optional().describe('Cores'),
  minMemory: naturalNumber.optional().describe('MB'),
  deviceId: z.guid().optional().describe('This device and no other'),
  remindBeforeMinutes: z.int().min(0).max(60).default(15).describe('0: no reminder'),
});

export type WantedDevice = z.output<typeof wantedDevice>;

/** What is booked, whoever asks through whichever door. */
export const askedReservation = z.strictObject({
  reservedStartTime: instant,
  ...wantedDevice.shape,
  recurrence: recurrence.optional(),
});

/** A checked wish, defaults filled in, times as instants. */
export type AskedReservation = z.output<typeof askedReservation>;

/** A wish as a caller writes it: times as ISO 8601 with an offset. */
export type AskedReservationInput = z.input<typeof askedReservation>;

/** What may be changed of a reservation that has not begun; what is left out stays as it is, `null` takes a wish back. */
export const changedReservation = z.strictObject({
  reservedStartTime: instant.optional(),
  durationMinutes: wantedDevice.shape.durationMinutes.optional(),
  deviceType: z.enum(DEVICE_TYPES).nullable().optional(),
  minCpu: naturalNumber.nullable().optional(),
  minMemory: naturalNumber.nullable().optional(),
  deviceId: z.guid().nullable().optional(),
  remindBeforeMinutes: z.int().min(0).max(60).optional(),
});

export type ChangedReservation = z.output<typeof changedReservation>;
