import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../dev/cluster/random.ts';
import type { Tally } from '../dev/demo/tally.ts';
import { messageOf } from '../shared/errors.ts';
import type { EventLog } from './event-log.ts';

/** How many orders, spread over how long, ms. */
export interface OrderPace {
  readonly count: number;
  readonly spanMs: number;
}

const HELD_MS = 1_500;
const LOOK_EVERY_MS = 100;
const PATIENCE_MS = 150_000;

/** Devices ordered and given back by events of another service. Every event comes twice, as it may. */
export async function placeOrders(events: EventLog, tally: Tally, pace: OrderPace, random: Random): Promise<void> {
  const orders = Array.from({ length: pace.count }, () => ({ id: randomUUID(), atMs: random.below(pace.spanMs) }));
  await Promise.all(
    orders.map(async ({ id, atMs }) => {
      try {
        await pause(atMs);
        await seeThrough(events, tally, id);
      } catch (error) {
        tally.faults.push(`order ${id}: ${messageOf(error)}`);
      }
    }),
  );
}

async function seeThrough(events: EventLog, tally: Tally, id: string): Promise<void> {
  const userId = `chaos-order-${id}`;
  await twice(events, 'device.allocate.requested', { sagaId: id, orderId: id, userId, durationMinutes: 30 }, id);
  const { success, allocationId, deviceId } = await answerTo(events, id);
  if (success !== true) {
    tally.refusals.set('order refused', (tally.refusals.get('order refused') ?? 0) + 1);
    return;
  }
  tally.allocations.add(String(allocationId));
  await pause(HELD_MS);
  await twice(events, 'device.release', { deviceId, userId }, `${id}-release`);
}

async function twice(events: EventLog, topic: string, body: object, id: string): Promise<void> {
  await events.publish(topic, body, id);
  await events.publish(topic, body, id);
}

async function answerTo(events: EventLog, id: string): Promise<Readonly<Record<string, unknown>>> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = events.answerOf(`device.allocate.${id}`);
    if (answer !== undefined) return answer;
    if (performance.now() > until) throw new Error('it was never answered');
    await pause(LOOK_EVERY_MS);
  }
}
