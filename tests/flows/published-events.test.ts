import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { publishedSchemaOf } from '../../shared/events.ts';
import type { EventListener } from '../support/event-listener.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { openRelayBench, type RelayBench } from '../support/relay-bench.ts';
import { type Wired, wire } from '../support/wire.ts';

const PATIENCE_MS = 20_000;

let bench: RelayBench;
let wired: Wired;
let listener: EventListener;

beforeAll(async () => {
  bench = await openRelayBench();
  wired = await wire({ databaseUrl: bench.databaseUrl });
  listener = await bench.listen('#');
});
afterAll(async () => {
  await wired.close();
  await bench.close();
});

/** What reached RabbitMQ of the rows of this test, as text, by routing key. */
async function published(): Promise<{ topic: string; body: unknown }[]> {
  const rows = await bench.store.prisma.outboxEntry.findMany({ where: { channel: 'event' } });
  const ours = new Set(rows.map(({ eventId }) => eventId));
  return eventually(() => {
    const arrived = listener.arrived.filter(({ properties }) => ours.has(String(properties.messageId)));
    expect(new Set(arrived.map(({ properties }) => properties.messageId)).size).toBe(ours.size);
    return arrived.map(({ fields, content }) => ({ topic: fields.routingKey, body: JSON.parse(content.toString()) }));
  }, PATIENCE_MS);
}

describe('what reaches RabbitMQ', () => {
  test('is what its schema says, also for a device whose id others have chosen', async () => {
    await addDevices(wired.store, alike(1));
    await bench.startRelay();
    await wired.store.transaction((tx) => tx.$executeRaw`UPDATE devices SET id = '00000000-0000-0000-0000-000000000001'`);
    wired.users.control.setQuota('stranger', 'none');
    wired.users.control.setQuota('full', { limits: { maxDevices: 0 } });
    await wired.allocate('stranger');
    await wired.allocate('full');
    const outcome = await wired.allocate('ann', { durationMinutes: 30 });
    if (outcome.status !== 'granted') throw new Error(outcome.status);
    const { allocationId } = outcome.allocation;
    const requestId = randomUUID();
    await wired.allocate('bob', { queueIfBusy: true, requestId });
    expect(await wired.extend({ allocationIds: [allocationId], additionalMinutes: 10 })).toMatchObject([{ status: 'extended' }]);
    await wired.release({ allocationId });
    await wired.capacity.changed({ devices: ['00000000-0000-0000-0000-000000000001'] });
    await wired.untilDecided(requestId);

    const bodies = await published();
    const problems = bodies.flatMap(({ topic, body }) => publishedSchemaOf(topic)?.safeParse(body).error?.issues ?? []);
    expect(problems).toEqual([]);
    expect([...new Set(bodies.map(({ topic }) => topic))].toSorted()).toEqual([
      'device.allocated',
      'device.released',
      'scheduler.allocation.extended',
      'scheduler.allocation.failed',
      'scheduler.allocation.quota_exceeded',
      'scheduler.allocation.released',
      'scheduler.queue.fulfilled',
      'scheduler.queue.joined',
    ]);
  });

  test('would be noticed if it were anything else', () => {
    const envelope = { eventId: randomUUID(), type: 'device.allocated', version: 1, timestamp: new Date().toISOString() };
    expect(publishedSchemaOf('device.allocated')?.safeParse(envelope).success).toBe(false);
    expect(publishedSchemaOf('device.allocate.saga-1')?.safeParse(envelope).success).toBe(false);
    expect(publishedSchemaOf('device.exploded')).toBeUndefined();
  });
});
