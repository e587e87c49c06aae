import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import type { EventPayload } from '../../queues/jobs/event.ts';
import { eventually } from '../support/eventually.ts';
import { type ListenerBench, openListenerBench } from '../support/listener-bench.ts';
import { type OwnRabbitmq, ownRabbitmq } from '../support/own-rabbitmq.ts';
import { type Wired, wire } from '../support/wire.ts';

const PATIENCE_MS = 40_000;
/** A broker takes its time to start on a busy machine. */
const WHOLE_MS = 180_000;

let broker: OwnRabbitmq;
let wired: Wired;
let bench: ListenerBench;

beforeAll(async () => {
  broker = await ownRabbitmq();
  await broker.start();
}, WHOLE_MS);

afterAll(() => broker.remove());

beforeEach(async () => {
  wired = await wire();
  bench = await openListenerBench(wired, broker.url);
});

afterEach(async () => {
  await bench.close();
  await wired.close();
});

async function untilCounted(userId: string, failures: number): Promise<void> {
  await eventually(
    async () => expect(await wired.store.prisma.user.findUnique({ where: { id: userId } })).toMatchObject({ paymentFailures: failures }),
    PATIENCE_MS,
  );
}

/** Messages of the billing queue that nobody has. */
async function left(channel: ConfirmChannel): Promise<number> {
  return (await channel.checkQueue(`${bench.queuePrefix}.billing`)).messageCount;
}

async function withChannel<T>(work: (channel: ConfirmChannel, connection: ChannelModel) => Promise<T>): Promise<T> {
  const connection = await connect(bench.deps.broker.url);
  try {
    return await work(await connection.createConfirmChannel(), connection);
  } finally {
    await connection.close();
  }
}

describe('a RabbitMQ', () => {
  test(
    'killed between the delivery of an event and its acknowledgement delivers it again, and it counts once',
    async () => {
      const [reached, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const taken: string[] = [];
      const event = async (payload: EventPayload) => {
        await wired.producer.event(payload);
        taken.push(payload.eventId);
        reached.resolve();
        if (taken.length === 1) await mayGoOn.promise;
      };
      const listener = await bench.start({ producer: { ...wired.producer, event } });
      const userId = `user-${randomUUID()}`;
      const eventId = await bench.publish('billing.payment_failed', { userId });
      await reached.promise;
      await broker.kill();
      await eventually(() => expect(listener.isListening()).toBe(false), PATIENCE_MS);
      mayGoOn.resolve();
      await broker.start();
      await eventually(() => expect(taken).toEqual([eventId, eventId]), PATIENCE_MS);
      await withChannel(async (channel) => {
        await eventually(async () => expect(await left(channel)).toBe(0), PATIENCE_MS);
        channel.publish(`${bench.queuePrefix}.events`, 'billing.payment_failed', Buffer.from(JSON.stringify({ userId })), {
          persistent: true,
        });
        await channel.waitForConfirms();
      });
      await untilCounted(userId, 2);
    },
    WHOLE_MS,
  );

  test(
    'short of memory holds up no event; what cannot be read is in the dead letters once it may be written',
    async () => {
      const first = await bench.start();
      await first.close();
      const userId = `user-${randomUUID()}`;
      const malformed = await bench.publish('billing.payment_failed', { amount: 1 });
      for (const _event of [1, 2, 3]) await bench.publish('billing.payment_failed', { userId });
      const buried = await withChannel(async (channel, connection) => {
        const letters: string[] = [];
        const { queue } = await channel.assertQueue('', { exclusive: true });
        await channel.bindQueue(queue, 'cloudphone.dlx', `${bench.queuePrefix}.#`);
        await channel.consume(queue, (letter) => letter !== null && letters.push(letter.properties.messageId), { noAck: true });
        const blocked = new Promise((resolve) => connection.once('blocked', resolve));
        await broker.beShortOfMemory(true);
        // Told to those who publish only.
        channel.publish(`${bench.queuePrefix}.events`, 'nobody.listens', Buffer.from('{}'));
        await blocked;
        const listener = await bench.start();
        await untilCounted(userId, 3);
        expect([letters, listener.isListening()]).toEqual([[], true]);
        await broker.beShortOfMemory(false);
        await eventually(() => expect(letters).toEqual([malformed]), PATIENCE_MS);
        await listener.close();
        expect(await left(channel)).toBe(0);
        return letters;
      });
      expect(buried).toEqual([malformed]);
    },
    WHOLE_MS,
  );

  test(
    'whose queues are quorum queues by default serves the listener as well: what came while nobody listened, and what cannot be read',
    async () => {
      await bench.close();
      bench = await openListenerBench(wired, await broker.addQuorumHost());
      const listener = await bench.start();
      expect(new Set(await broker.queueTypes(bench.deps.broker.url))).toEqual(new Set(['quorum']));
      const userId = `user-${randomUUID()}`;
      await bench.publish('billing.payment_failed', { userId });
      await untilCounted(userId, 1);
      await listener.close();
      await bench.publish('billing.payment_failed', { userId });
      await bench.publish('billing.payment_failed', { amount: 1 });
      await bench.start();
      await untilCounted(userId, 2);
      await withChannel(async (channel) => {
        await eventually(async () => expect((await channel.checkQueue('scheduler.dead')).messageCount).toBe(1), PATIENCE_MS);
        expect(await left(channel)).toBe(0);
      });
    },
    WHOLE_MS,
  );
});
