import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { expireDue } from '../../shared/store/expire.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { type NoticeBench, openNoticeBench } from '../support/notice-bench.ts';
import { outboxStates } from '../support/outbox-rows.ts';
import { openRelayBench, type RelayBench } from '../support/relay-bench.ts';
import { type Wired, wire } from '../support/wire.ts';

/** A port nobody listens on: RabbitMQ is away. */
const NO_BROKER = { url: 'amqp://127.0.0.1:1', backoff: { baseMs: 20, maxMs: 100 } };
/** A breaker that asks again soon. */
const SOON = { openMs: 200 };

let wired: Wired;
let relays: RelayBench;
let notices: NoticeBench;

beforeEach(async () => {
  wired = await wire();
  relays = await openRelayBench();
  notices = await openNoticeBench(wired.store, relays.prefix);
});

afterEach(async () => {
  await notices.close();
  await relays.close();
  await wired.close();
});

const startRelay = (broker?: { url: string }) => relays.startRelay({ store: wired.store, netMs: 20, ...(broker && { broker }) });
const told = () => notices.service.control.sent().map(({ userId, type }) => `${userId} ${type}`);
const noticeRows = () => outboxStates(wired.store, 'notice');
const users = (count: number) => Array.from({ length: count }, (_, index) => `user-${index}`);

/** A grant, a refusal, a release and an expiry. @returns who is told what */
async function live(): Promise<string[]> {
  await addDevices(wired.store, alike(2));
  await wired.allocate('ann');
  const bob = await wired.allocate('bob');
  expect(await wired.allocate('cyd')).toMatchObject({ status: 'refused', code: 'NO_DEVICE_AVAILABLE' });
  if (bob.status !== 'granted') throw new Error('bob got no device');
  await wired.release({ allocationId: bob.allocation.allocationId, userId: 'bob' });
  await wired.store.prisma
    .$executeRaw`UPDATE allocations SET allocated_at = now() - interval '20 minutes', expires_at = now() - interval '10 minutes' WHERE user_id = 'ann'`;
  await expireDue(wired.store, 10, { cleaningSeconds: 0 });
  return ['ann allocation_expired', 'ann allocation_success', 'bob allocation_success', 'bob device_released', 'cyd allocation_failed'];
}

describe('people are told', () => {
  test('of a grant, a refusal, a release and an expiry, once each, without a row more at the grant', async () => {
    const expected = await live();
    expect(await noticeRows()).toEqual({});
    await startRelay();
    notices.startWorker();
    await eventually(() => expect(told().toSorted()).toEqual(expected), 15_000);
    expect(notices.service.control.sent().find(({ type }) => type === 'allocation_failed')?.message).toBe(
      '未能为您分配设备：符合条件的设备都在使用中。',
    );
    await eventually(async () => expect(await noticeRows()).toEqual({ delivered: 5 }));
  });

  test('while RabbitMQ is away, and not again when it is back', async () => {
    const expected = await live();
    const relay = await startRelay(NO_BROKER);
    notices.startWorker();
    await eventually(() => expect(told().toSorted()).toEqual(expected), 15_000);
    await relay.close();
    await startRelay();
    await eventually(async () => expect(Object.keys(await outboxStates(wired.store, 'event'))).toEqual(['delivered']), 15_000);
    await eventually(async () => expect(await noticeRows()).toEqual({ delivered: 5 }));
  });

  test('with events off', async () => {
    const expected = await live();
    await startRelay({ url: '' });
    notices.startWorker();
    await eventually(() => expect(told().toSorted()).toEqual(expected), 15_000);
  });

  test('nothing of what is long over', async () => {
    await live();
    await wired.store.prisma.$executeRaw`UPDATE outbox SET created_at = now() - interval '25 hours' WHERE topic <> 'device.allocated'`;
    await startRelay();
    notices.startWorker();
    await eventually(async () => expect(Object.keys(await outboxStates(wired.store, 'event'))).toEqual(['delivered']), 15_000);
    await eventually(() => expect(told().toSorted()).toEqual(['ann allocation_success', 'bob allocation_success']), 15_000);
  });

  test('later and once each when the service was away, slow, limiting and malformed, and allocations go on meanwhile', async () => {
    const { control } = notices.service;
    await control.refuse();
    await startRelay();
    for (const _worker of [1, 2])
      notices.startWorker({ tuning: SOON, timeoutMs: 500, policy: { maxAttempts: 1_000, notAskedPauseMs: 20 } });
    await addDevices(wired.store, alike(40));
    await wired.know(users(40));
    const grants = await Promise.all(users(40).map((user) => wired.allocate(user)));
    expect(grants.map(({ status }) => status)).toEqual(users(40).map(() => 'granted'));
    await eventually(async () => expect(await noticeRows()).toEqual({ pending: 40 }), 15_000);
    await control.accept();
    control.fail({ kind: 'hang' }, { times: 2 });
    control.fail({ kind: 'status', status: 429, retryAfter: 0 }, { times: 5 });
    control.fail({ kind: 'malformed' }, { times: 3 });
    control.fail({ kind: 'lost-answer' }, { times: 5 });
    await eventually(async () => expect(await noticeRows()).toEqual({ delivered: 40 }), 30_000);
    expect(told().toSorted()).toEqual(
      users(40)
        .map((user) => `${user} allocation_success`)
        .toSorted(),
    );
  });

  test('again of what was lost with Redis, under the same key', async () => {
    const expected = await live();
    const relay = await startRelay();
    await eventually(async () => expect(await noticeRows()).toEqual({ pending: 5 }), 15_000);
    await relay.close();
    await relays.forgetRedis();
    await relays.startRelay({ store: wired.store, netMs: 20, lostAfterMs: 100 });
    notices.startWorker();
    await eventually(() => expect(told().toSorted()).toEqual(expected), 15_000);
  });
});
