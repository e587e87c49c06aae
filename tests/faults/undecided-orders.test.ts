import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { type ListenerBench, openListenerBench } from '../support/listener-bench.ts';
import { type Wired, wire } from '../support/wire.ts';

/** Ten times the slots of a listener: one after the other, each waited for, they would take minutes. */
const ORDERS = 100;

let wired: Wired;
let bench: ListenerBench;

beforeEach(async () => {
  wired = await wire({ allocationWorkers: 0 });
  bench = await openListenerBench(wired);
  await bench.start();
});

afterEach(async () => {
  await bench.close();
  await wired.close();
});

test('orders nobody decides keep no other event waiting, and are answered once when they are decided', async () => {
  const db = wired.store.prisma;
  await addDevices(wired.store, alike(ORDERS));
  const orders = Array.from({ length: ORDERS }, () => ({ sagaId: randomUUID(), orderId: 'o', userId: randomUUID() }));
  for (const order of orders) await bench.publish('device.allocate.requested', order);
  await eventually(async () => expect(await db.request.count({ where: { source: 'event' } })).toBe(ORDERS));
  const suspended = await bench.publish('user.suspended', { userId: randomUUID() });
  await eventually(async () => expect(await db.inboxEntry.count({ where: { eventId: suspended } })).toBe(1));
  expect(await db.request.count({ where: { source: 'event', status: 'pending' } })).toBe(ORDERS);

  wired.addAllocationWorker();
  const answers = () => db.outboxEntry.findMany({ where: { topic: { in: orders.map(({ sagaId }) => `device.allocate.${sagaId}`) } } });
  await eventually(async () => expect(await answers()).toHaveLength(ORDERS), 60_000);
  expect((await answers()).map(({ payload }) => payload)).toEqual(
    orders.map(() => expect.objectContaining({ sagaId: expect.any(String), success: true })),
  );
}, 90_000);
