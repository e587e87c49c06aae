import { z } from 'zod';
import type { EventDesk } from '../event-desk.ts';
import { type ErrandParts, each } from './errand.ts';
import { errandUser, PLAN } from './plan.ts';

const FIRST_AT_MS = 1_500;
const APART_MS = 500;
const USED_MS = 5_000;
/** The user of this one has no quota: its answer is a no. */
const WITHOUT_QUOTA = 5;
/** Every so many are published twice, as a service does that died before it noted that it had published. */
const TWICE_EVERY = 5;

const answer = z.object({
  deviceId: z.string().nullable(),
  userId: z.string(),
  success: z.boolean(),
  allocationId: z.string().optional(),
  error: z.string().optional(),
});

/** A service that lives on events: it orders devices, hears what came of it, and gives them back. */
export async function orderByEvent(parts: ErrandParts, events: EventDesk): Promise<void> {
  const { tally, tell, setLimit } = parts;
  await setLimit(errandUser('order', WITHOUT_QUOTA), 'no quota');
  const topics = await each(PLAN.orders, (number) => seeThrough(parts, events, number));
  // Counted at the very end: a second answer to a repeat would be there by now.
  tally.errands.orders.answers = topics.reduce((sum, topic) => sum + events.countOf(topic), 0);
  const { sent, granted, released } = tally.errands.orders;
  tell(`${sent} devices were ordered by event: ${granted} granted, ${released} given back by event`);
}

/** @returns the routing key of its answers */
async function seeThrough({ desk, tally }: ErrandParts, events: EventDesk, number: number): Promise<string> {
  const { orders } = tally.errands;
  await desk.pause(FIRST_AT_MS + number * APART_MS);
  const userId = errandUser('order', number);
  const [eventId, sagaId] = [crypto.randomUUID(), crypto.randomUUID()];
  const topic = `device.allocate.${sagaId}`;
  const body = { eventId, sagaId, orderId: `order-${number}`, userId, planId: 'plan-standard' };
  const answered = events.next(topic, () => true);
  const sentAt = performance.now();
  await events.publish('device.allocate.requested', body);
  orders.sent += 1;
  if (number % TWICE_EVERY === 0) {
    await events.publish('device.allocate.requested', body);
    orders.twice += 1;
  }
  const { success, allocationId, deviceId, error } = answer.parse(await answered);
  orders.decisionMs.push(performance.now() - sentAt);
  if (success && allocationId !== undefined && deviceId !== null) {
    orders.granted += 1;
    tally.allocations.add(allocationId);
    await desk.pause(USED_MS);
    await giveBack(events, { userId, deviceId, allocationId });
    orders.released += 1;
  } else orders.refusals.set(error ?? 'unknown', (orders.refusals.get(error ?? 'unknown') ?? 0) + 1);
  return topic;
}

/** By event, and told by one: `device.released`. */
async function giveBack(events: EventDesk, held: { userId: string; deviceId: string; allocationId: string }): Promise<void> {
  const ended = events.next('device.released', (body) => body['allocationId'] === held.allocationId);
  await events.publish('device.release', { userId: held.userId, deviceId: held.deviceId, reason: 'order done' });
  const { endReason } = z.object({ endReason: z.string() }).parse(await ended);
  if (endReason !== 'order_released') throw new Error(`the device of an order was given back as ${endReason}`);
}
