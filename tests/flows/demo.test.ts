import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect } from 'amqplib';
import { ERRAND_FIGURES } from '../../dev/demo/errands/errand-view.ts';
import { type EventDesk, isListenedTo, openEventDesk } from '../../dev/demo/event-desk.ts';
import { openLedgerView } from '../../dev/demo/ledger-view.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { rabbitmqUrl } from '../support/rabbitmq.ts';

describe('the event desk of the demo', () => {
  let desk: EventDesk;
  beforeAll(async () => {
    desk = await openEventDesk(rabbitmqUrl());
  });
  afterAll(() => desk.close());

  test('hears the event it waits for and not another one, and counts what came', async () => {
    const topic = `demo-test.${randomUUID()}`;
    const second = desk.next(topic, (body) => body['number'] === 2);
    for (const number of [1, 2]) await desk.publish(topic, { number });
    expect(await second).toEqual({ number: 2 });
    expect(desk.countOf(topic)).toBe(2);
    expect(desk.countOf(`${topic}.other`)).toBe(0);
  });

  test('knows whether somebody else takes the events', async () => {
    const prefix = `test-${randomUUID()}`;
    expect(await isListenedTo(rabbitmqUrl(), prefix)).toBe(false);
    const connection = await connect(rabbitmqUrl());
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue(`${prefix}.billing`, { durable: false, autoDelete: true });
    expect(await isListenedTo(rabbitmqUrl(), prefix)).toBe(false);
    await channel.consume(queue, () => undefined);
    expect(await isListenedTo(rabbitmqUrl(), prefix)).toBe(true);
    await connection.close();
  });
});

describe('what the demo reads of the store', () => {
  test('is nothing of everything when nothing has happened', async () => {
    const database = await createTestDatabase();
    const view = await openLedgerView(database.url);
    const { errands, allocationIds, notices } = await view.figures();
    expect(Object.keys(errands)).toEqual(Object.keys(ERRAND_FIGURES));
    expect(Object.values(errands).filter((count) => count !== 0)).toEqual([]);
    expect({ known: allocationIds.size, notices }).toEqual({ known: 0, notices: 0 });
    expect(await view.backlog()).toEqual({ undecided: 0, events: 0, usageReports: 0, bills: 0, notices: 0 });
    await view.close();
    await database.drop();
  });
});
