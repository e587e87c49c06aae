import { z } from 'zod';
import { type ErrandParts, each } from './errand.ts';
import { errandUser, PLAN } from './plan.ts';

/** The first begins so long after the start, ms, the others follow. */
const FIRST_MS = 12_000;
const APART_MS = 600;
/** How long a booked device is used before it is given back, ms. */
const USED_MS = 4_000;

const reservation = z.object({ id: z.string(), status: z.string(), allocationId: z.string().nullable() });

/** Books devices for times that come while the load runs, and sees each booking through: begun, used, given back. */
export async function bookAhead(parts: ErrandParts): Promise<void> {
  const startedAt = Date.now();
  await each(PLAN.bookings, (number) => seeThrough(parts, number, startedAt + FIRST_MS + number * APART_MS));
  const { booked, lateMs } = parts.tally.errands.bookings;
  parts.tell(`${lateMs.length} of ${booked} bookings have begun in time, and been given back`);
}

async function seeThrough({ desk, tally }: ErrandParts, number: number, startsAt: number): Promise<void> {
  const { bookings } = tally.errands;
  const wish = {
    userId: errandUser('booker', number),
    reservedStartTime: new Date(startsAt).toISOString(),
    durationMinutes: 15,
    ...(number % 4 === 0 ? { deviceType: 'tablet' } : {}),
  };
  const { id } = await desk.send('/scheduler/reservations', wish, reservation);
  bookings.booked += 1;
  await desk.pause(startsAt - Date.now());
  const allocationId = await desk.until(`the booking of ${wish.userId} begun`, async () => {
    return (await desk.get(`/scheduler/reservations/${id}`, reservation)).allocationId ?? undefined;
  });
  tally.allocations.add(allocationId);
  bookings.lateMs.push(Date.parse((await desk.lease(allocationId)).allocatedAt) - startsAt);
  await desk.pause(USED_MS);
  await desk.release(allocationId);
}
