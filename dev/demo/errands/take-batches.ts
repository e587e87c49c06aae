import { z } from 'zod';
import { type ErrandParts, each } from './errand.ts';
import { type ErrandUser, errandUser, PLAN } from './plan.ts';

const BEGIN_AT_MS = 1_000;
const USED_MS = 3_000;
const BATCH = '/scheduler/allocations/batch';

const taken = z.object({ successes: z.array(z.object({ allocationId: z.string(), deviceId: z.string() })) });
const changed = z.object({ successes: z.array(z.object({ allocationId: z.string() })) });
const found = z.object({ allocations: z.record(z.string(), z.array(z.object({ allocationId: z.string() }))) });

/** A service takes, extends, reads and gives back fifty devices, a call each; then ten that are granted together or not at all. */
export async function takeBatches(parts: ErrandParts): Promise<void> {
  const { desk, tally, tell } = parts;
  const { batch } = tally.errands;
  await desk.pause(BEGIN_AT_MS);
  const fifty = await take(parts, 'batch', PLAN.batch, false);
  batch.taken = fifty.length;
  const allocationIds = fifty.map(({ allocationId }) => allocationId);
  await allOrNone(parts, fifty[0]?.deviceId);
  const extended = await desk.send(`${BATCH}/extend`, { allocationIds, additionalMinutes: 10 }, changed);
  batch.extended = extended.successes.length;
  await desk.pause(USED_MS);
  const userIds = await each(PLAN.batch, async (number) => errandUser('batch', number));
  const { allocations } = await desk.send(`${BATCH}/query`, { userIds }, found);
  batch.read = Object.values(allocations).flat().length;
  batch.released = (await desk.send(`${BATCH}/release`, { allocationIds }, changed)).successes.length;
  tell(
    `a batch of ${batch.taken} taken, extended, read and given back; ${batch.together} granted together, ${batch.nobody} of those without room`,
  );
}

/** Two batches of ten that want all or none: one has room, in the other somebody wants a device that is held. */
async function allOrNone(parts: ErrandParts, heldDeviceId: string | undefined): Promise<void> {
  const { batch } = parts.tally.errands;
  const together = await take(parts, 'together', PLAN.allOrNone, true);
  batch.together = together.length;
  batch.nobody = (await take(parts, 'nobody', PLAN.allOrNone, true, heldDeviceId)).length;
  for (const { allocationId } of together) await parts.desk.release(allocationId);
}

async function take({ desk, tally }: ErrandParts, kind: ErrandUser, count: number, atomic: boolean, lastWants?: string) {
  const requests = await each(count, async (number) => ({
    userId: errandUser(kind, number),
    durationMinutes: 30,
    ...(lastWants !== undefined && number === count - 1 ? { devicePreferences: { deviceId: lastWants } } : {}),
  }));
  const { successes } = await desk.send(BATCH, { requests, atomic }, taken);
  for (const { allocationId } of successes) tally.allocations.add(allocationId);
  return successes;
}
