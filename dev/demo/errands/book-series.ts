import { z } from 'zod';
import { type ErrandParts, each } from './errand.ts';
import { errandUser, PLAN } from './plan.ts';

/** The first day begins so long after the start, ms: late enough for a slow machine to have booked a month before. */
const FIRST_IN_MS = 45_000;
const USED_MS = 3_000;
const TIME_ZONE = 'Europe/Berlin';

const series = z.object({ reservations: z.array(z.object({ id: z.string() })), nextStartTime: z.string().nullable() });
const reservation = z.object({ status: z.string(), allocationId: z.string().nullable() });
const cancelled = z.object({ cancelledIds: z.array(z.string()) });

/** A device every day: booked up to the horizon; the first day comes while the demo runs, the last series is called off after it. */
export async function bookSeries(parts: ErrandParts): Promise<void> {
  const { desk, tally, tell } = parts;
  const counts = tally.errands.series;
  await each(PLAN.series, async (number) => {
    const startsAt = Date.now() + FIRST_IN_MS;
    const [first, second] = await book(parts, errandUser('regular', number), startsAt);
    if (first === undefined || second === undefined) throw new Error('a daily series was booked without its first days');
    await seeFirstDay(parts, first, startsAt);
    if (number > 0) return;
    const { cancelledIds } = await desk.send(`/scheduler/reservations/${second}/cancel`, { series: true }, cancelled);
    counts.cancelled += cancelledIds.length;
  });
  tell(`${counts.booked} days of ${PLAN.series} daily series booked, the first of each begun, ${counts.cancelled} called off`);
}

async function book({ desk, tally }: ErrandParts, userId: string, startsAt: number): Promise<readonly string[]> {
  const recurrence = { frequency: 'daily', count: PLAN.seriesDays, timeZone: TIME_ZONE };
  const wish = { userId, durationMinutes: 15, reservedStartTime: new Date(startsAt).toISOString(), recurrence };
  const { reservations, nextStartTime } = await desk.send('/scheduler/reservations', wish, series);
  if (nextStartTime === null) throw new Error('a series longer than the horizon was booked to its end');
  tally.errands.series.booked += reservations.length;
  return reservations.map(({ id }) => id);
}

async function seeFirstDay({ desk, tally }: ErrandParts, id: string, startsAt: number): Promise<void> {
  await desk.pause(startsAt - Date.now());
  const path = `/scheduler/reservations/${id}`;
  const allocationId = await desk.until(`the first day of series ${id}`, async () => {
    return (await desk.get(path, reservation)).allocationId ?? undefined;
  });
  tally.allocations.add(allocationId);
  tally.errands.series.begun += 1;
  tally.errands.series.lateMs.push(Date.parse((await desk.lease(allocationId)).allocatedAt) - startsAt);
  await desk.pause(USED_MS);
  await desk.release(allocationId);
}
