import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { messageOf } from '../../shared/errors.ts';
import { requestId } from './made-up-load.ts';
import type { ServiceCall } from './service-call.ts';
import type { Tally } from './tally.ts';

/** Bookings of the demo, a user each. */
export const BOOKINGS = 40;
/** The first begins so long after the start, ms: early, while there are devices; the others follow. */
const FIRST_MS = 8_000;
const APART_MS = 600;
/** How long a booked device is used before it is given back, ms. */
const USED_MS = 4_000;
const DURATION_MINUTES = 15;
const LOOK_EVERY_MS = 500;
/** So long after its time a booking that has not begun counts as a fault, ms. */
const PATIENCE_MS = 60_000;

const answer = z.object({ data: z.object({ id: z.string(), status: z.string(), allocationId: z.string().nullable() }) });
const refusal = z.object({ code: z.string() });
const lease = z.object({ data: z.object({ allocatedAt: z.string() }) });

/** Books devices for times that come while the load runs, and sees each booking through: begun, used, given back. */
export async function bookAhead(call: ServiceCall, tally: Tally, seed: number, stopping: AbortSignal): Promise<void> {
  const startedAt = Date.now();
  const whole = async (number: number) => {
    try {
      await seeThrough(call, tally, { number, seed, startsAt: startedAt + FIRST_MS + number * APART_MS, stopping });
    } catch (error) {
      tally.faults.push(`booking ${number}: ${messageOf(error)}`);
    }
  };
  await Promise.all(Array.from({ length: BOOKINGS }, (_, number) => whole(number)));
}

interface Booking {
  readonly number: number;
  readonly seed: number;
  /** ms since 1970. */
  readonly startsAt: number;
  readonly stopping: AbortSignal;
}

async function seeThrough(call: ServiceCall, tally: Tally, booking: Booking): Promise<void> {
  const { bookings } = tally;
  const id = await book(call, tally, booking);
  if (id === undefined) return;
  const allocationId = await untilBegun(call, id, booking);
  tally.allocations.add(allocationId);
  const begun = lease.parse(await (await call('GET', `/scheduler/allocations/${allocationId}`)).json()).data;
  bookings.lateMs.push(Date.parse(begun.allocatedAt) - booking.startsAt);
  await pause(USED_MS, undefined, { signal: booking.stopping });
  const released = await call('POST', '/scheduler/devices/release', { allocationId }, `${keyOf(booking)}:release`);
  if (!released.ok) throw new Error(`the release was answered ${released.status}`);
}

/** @returns the id of the booking; undefined when it was refused, which is counted */
async function book(call: ServiceCall, { bookings }: Tally, booking: Booking): Promise<string | undefined> {
  const { number, startsAt } = booking;
  const wish = {
    userId: `demo-booker-${number}`,
    reservedStartTime: new Date(startsAt).toISOString(),
    durationMinutes: DURATION_MINUTES,
    ...(number % 4 === 0 ? { deviceType: 'tablet' } : {}),
  };
  const response = await call('POST', '/scheduler/reservations', wish, keyOf(booking));
  const body: unknown = await response.json();
  if (response.status === 201) {
    bookings.booked += 1;
    return answer.parse(body).data.id;
  }
  const { code } = refusal.parse(body);
  bookings.refusals.set(code, (bookings.refusals.get(code) ?? 0) + 1);
  return undefined;
}

async function untilBegun(call: ServiceCall, id: string, { startsAt, stopping }: Booking): Promise<string> {
  await pause(Math.max(0, startsAt - Date.now()), undefined, { signal: stopping });
  for (;;) {
    const { status, allocationId } = answer.parse(await (await call('GET', `/scheduler/reservations/${id}`)).json()).data;
    if (allocationId !== null) return allocationId;
    if (Date.now() > startsAt + PATIENCE_MS) throw new Error(`not begun in time, it is ${status}`);
    await pause(LOOK_EVERY_MS, undefined, { signal: stopping });
  }
}

const keyOf = ({ seed, number }: Booking) => requestId(seed, -1 - number);
