import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import { NOTICE_DATA, type NoticeType } from '../../shared/notices/catalogue.ts';
import { cancelReservation } from '../../shared/store/change-reservation.ts';
import { expireDue } from '../../shared/store/expire.ts';
import { joinQueue } from '../../shared/store/join-queue.ts';
import { cancelRequest } from '../../shared/store/requests.ts';
import { timeOutRequests } from '../../shared/store/undecided.ts';
import { tellAllExpiringSoon } from '../../workers/maintenance/tell-expiring-soon.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { type ListenerBench, openListenerBench } from '../support/listener-bench.ts';
import { type NoticeBench, openNoticeBench } from '../support/notice-bench.ts';
import { openRelayBench, type RelayBench } from '../support/relay-bench.ts';
import { booked, letPass, reservationParts, runTick } from '../support/reservation-bench.ts';
import { type Wired, wire } from '../support/wire.ts';

const PATIENCE_MS = 30_000;
const ALL = { kind: 'all' } as const;

let wired: Wired;
let relays: RelayBench;
let notices: NoticeBench;
let listener: ListenerBench;

beforeAll(async () => {
  wired = await wire();
  // The client loads its compiler with the first query, which jest allows inside of a hook or a test only.
  await db().user.count();
  relays = await openRelayBench();
  notices = await openNoticeBench(wired.store, relays.prefix);
  listener = await openListenerBench(wired);
  await listener.start({ relocate: false });
  await relays.startRelay({ store: wired.store, netMs: 20, broker: { url: '' } });
  notices.startWorker({ perMinute: 1_000 });
});

afterAll(async () => {
  await listener.close();
  await notices.close();
  await relays.close();
  await wired.close();
});

const db = () => wired.store.prisma;
const someone = () => `user-${randomUUID()}`;
const goingOn = () => new AbortController().signal;

/** Holds a device nobody else asks for. */
async function holder() {
  const region = randomUUID();
  await addDevices(wired.store, alike(1, { region, type: 'tablet' }));
  const userId = someone();
  const wish = { devicePreferences: { deviceType: 'tablet' as const, region } };
  const outcome = await wired.allocate(userId, wish);
  if (outcome.status !== 'granted') throw new Error(`expected a grant, got ${JSON.stringify(outcome)}`);
  return { ...outcome.allocation, userId, wish };
}

async function endsIn(allocationId: string, minutes: number): Promise<void> {
  await db().$executeRaw`
    UPDATE allocations SET allocated_at = now() + make_interval(mins => ${minutes}::int - duration_minutes), expires_at = now() + make_interval(mins => ${minutes}::int)
    WHERE id = ${allocationId}::uuid`;
}

async function inQueue(deviceId: string = randomUUID()) {
  const [userId, requestId] = [someone(), randomUUID()];
  const asked = askedAllocation.parse({ queueIfBusy: true, devicePreferences: { deviceId } });
  const words = { caller: 'test', source: 'http', tenantId: null, tier: 'standard', traceId: undefined } as const;
  expect(await joinQueue(wired.store, { requestId, userId, asked, ...words })).toEqual({ kind: 'joined' });
  return { userId, requestId };
}

let cores = 1_000;
/** A reservation of a device that is bigger than any before, so that nobody else gets it. */
async function reservation(inMinutes: number) {
  cores += 1;
  const userId = someone();
  const [deviceId = ''] = await addDevices(wired.store, alike(1, { cpuCores: cores }));
  const { reservationId } = await booked(wired.store, { userId, minCpu: cores, inMinutes });
  return { userId, reservationId, deviceId };
}

async function begun() {
  const made = await reservation(10);
  await letPass(wired.store, 15);
  await runTick(reservationParts(wired));
  return made;
}

/** What leads to a notice of each type, by the way it comes about: complete by its type. Each answers who is told. */
const CAUSES: { readonly [T in NoticeType]: () => Promise<string> } = {
  allocation_success: async () => (await holder()).userId,
  allocation_failed: async () => {
    const { wish } = await holder();
    const userId = someone();
    expect(await wired.allocate(userId, wish)).toMatchObject({ status: 'refused' });
    return userId;
  },
  allocation_expired: async () => {
    const { userId, allocationId } = await holder();
    await endsIn(allocationId, -1);
    await expireDue(wired.store, 1_000, { cleaningSeconds: 0 });
    return userId;
  },
  allocation_expiring_soon: async () => {
    const { userId, allocationId } = await holder();
    await endsIn(allocationId, 8);
    for (const _twice of [1, 2]) await tellAllExpiringSoon(wired.store, goingOn());
    return userId;
  },
  allocation_extended: async () => {
    const { userId, allocationId } = await holder();
    expect(await wired.extend({ allocationIds: [allocationId], additionalMinutes: 30 })).toMatchObject([{ status: 'extended' }]);
    return userId;
  },
  device_released: async () => {
    const { userId, allocationId } = await holder();
    await wired.release({ allocationId, userId });
    return userId;
  },
  queue_joined: async () => (await inQueue()).userId,
  queue_fulfilled: async () => {
    const held = await holder();
    const { userId, requestId } = await inQueue(held.deviceId);
    await wired.release({ allocationId: held.allocationId, userId: held.userId });
    await wired.untilDecided(requestId);
    return userId;
  },
  queue_expired: async () => {
    const { userId, requestId } = await inQueue();
    await db().$executeRaw`UPDATE requests SET deadline = now() - interval '1 second' WHERE id = ${requestId}::uuid`;
    await timeOutRequests(wired.store, 1_000);
    return userId;
  },
  queue_cancelled: async () => {
    const { userId, requestId } = await inQueue();
    await cancelRequest(wired.store, requestId, ALL);
    return userId;
  },
  reservation_created: async () => (await reservation(120)).userId,
  reservation_cancelled: async () => {
    const { userId, reservationId } = await reservation(120);
    await cancelReservation(wired.store, reservationId, ALL, 'no time');
    return userId;
  },
  reservation_reminder: async () => {
    const { userId } = await reservation(20);
    await letPass(wired.store, 8);
    for (const _twice of [1, 2]) await runTick(reservationParts(wired));
    return userId;
  },
  reservation_executed: async () => (await begun()).userId,
  reservation_failed: async () => {
    const { userId, deviceId } = await begun();
    await listener.publish('device.failed', { deviceId });
    return userId;
  },
  reservation_expired: async () => {
    const { userId } = await reservation(10);
    await letPass(wired.store, 200);
    await runTick(reservationParts(wired));
    return userId;
  },
  billing_alert: async () => {
    const userId = someone();
    const eventId = await listener.publish('billing.balance_low', { userId, currentBalance: 1.5 });
    await listener.publish('billing.balance_low', { userId, currentBalance: 1.5 }, eventId);
    return userId;
  },
};

/** Everything that was sent to a user under a type. */
const sent = (userId: string, type: string) =>
  notices.service.control.sent().filter((notification) => notification.userId === userId && notification.type === type);

describe('what has happened to somebody is told', () => {
  test.each(Object.keys(NOTICE_DATA) as NoticeType[])('%s, once, in both languages', async (type) => {
    const userId = await CAUSES[type]();
    const [told] = await eventually(() => {
      const all = sent(userId, type);
      expect(all).toHaveLength(1);
      return all;
    }, PATIENCE_MS);
    const texts = { title: expect.stringMatching(/./), message: expect.stringMatching(/./) };
    expect(told?.data['texts']).toMatchObject({
      zh: texts,
      en: { title: expect.stringMatching(/^[A-Z]/), message: expect.stringMatching(/^[A-Z]/) },
    });
    expect(told?.channels).toContain('websocket');
    const rows = await db().outboxEntry.count({ where: { channel: 'notice', key: userId, topic: type } });
    expect([rows, sent(userId, type).length]).toEqual([1, 1]);
  });
});
