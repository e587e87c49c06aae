import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { QUEUES } from '../../queues/names.ts';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import type { AllocateOutcome } from '../../shared/allocation/outcome.ts';
import { SchedulerError } from '../../shared/errors.ts';
import { joinQueue } from '../../shared/store/join-queue.ts';
import { changeStatus } from '../../workers/listener/change-device.ts';
import { moveReservations } from '../../workers/listener/move-reservations.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { malformedEvents, readInvariants } from '../support/invariants.ts';
import { type ListenerBench, openListenerBench } from '../support/listener-bench.ts';
import { bookDirectly, booked } from '../support/reservation-bench.ts';
import { type Wired, wire } from '../support/wire.ts';

let wired: Wired;
let bench: ListenerBench;

beforeAll(async () => {
  wired = await wire();
  bench = await openListenerBench(wired);
  await bench.start();
});

afterAll(async () => {
  await bench.close();
  await wired.close();
});

const PATIENCE_MS = 20_000;
const db = () => wired.store.prisma;
/** Nobody else's: other tests publish on the same exchange. */
const someone = () => `user-${randomUUID()}`;
const enveloped = (topic: string, payload: object) => ({ eventId: randomUUID(), eventType: topic, payload });

function granted(outcome: AllocateOutcome) {
  if (outcome.status !== 'granted') throw new Error(`expected a grant, got ${JSON.stringify(outcome)}`);
  return outcome.allocation;
}

/** A user with so many devices of a kind nobody else asks for. */
async function holder(count: number, spare = 0) {
  const region = randomUUID();
  const deviceIds = await addDevices(wired.store, alike(count + spare, { region, type: 'tablet' }));
  const userId = someone();
  const wish = { devicePreferences: { deviceType: 'tablet' as const, region } };
  const allocations = [];
  for (let index = 0; index < count; index += 1) allocations.push(granted(await wired.allocate(userId, wish)));
  return { userId, allocations, deviceIds, wish };
}

async function untilTaken(eventId: string): Promise<void> {
  await eventually(async () => expect(await db().inboxEntry.count({ where: { eventId } })).toBe(1), PATIENCE_MS);
}

/** Publishes and waits until the event has had its effect. */
async function say(topic: string, body: object): Promise<string> {
  const eventId = await bench.publish(topic, body);
  await untilTaken(eventId);
  return eventId;
}

const ends = async (userId: string) =>
  (await db().allocation.findMany({ where: { userId }, orderBy: { allocatedAt: 'asc' } })).map(({ endReason }) => endReason);
const alerts = async (userId: string) =>
  (await db().outboxEntry.findMany({ where: { channel: 'notice', key: userId, topic: 'billing_alert' }, orderBy: { id: 'asc' } })).map(
    ({ payload }) => (payload as { data: { alert: string } }).data.alert,
  );

describe('an event about a device', () => {
  test('puts it into the fleet, starts it and says how it is doing', async () => {
    const deviceId = randomUUID();
    await say('device.created', { deviceId, name: 'new', type: 'tablet', cpuCores: 2, memoryMB: 2048, storageMB: 4096, region: deviceId });
    expect(await db().device.findUniqueOrThrow({ where: { id: deviceId } })).toMatchObject({ status: 'creating', type: 'tablet' });
    await say('device.started', { deviceId });
    await say('device.usage', { deviceId, cpuUsage: 40, healthScore: 80 });
    expect(await db().device.findUniqueOrThrow({ where: { id: deviceId } })).toMatchObject({
      status: 'running',
      cpuUsage: 40,
      memoryUsage: 0,
      healthScore: 80,
    });
  });

  test('says what it says, and nothing of the rest', async () => {
    const region = randomUUID();
    const [deviceId = ''] = await addDevices(wired.store, alike(1, { type: 'tablet', region, name: 'mine', status: 'stopped' }));
    const before = await db().device.findUniqueOrThrow({ where: { id: deviceId } });
    await say('device.started', { deviceId, cpuCores: 3, memoryMB: 3072, storageMB: 4096 });
    const { name, type, providerType } = before;
    expect(await db().device.findUniqueOrThrow({ where: { id: deviceId } })).toMatchObject({
      ...{ name, type, providerType, region },
      ...{ status: 'running', cpuCores: 3 },
    });
  });

  test('that was started before anybody knew it runs once it is known, and is not made again', async () => {
    const deviceId = randomUUID();
    const started = await bench.publish('device.started', { deviceId });
    await eventually(async () => {
      const job = await wired.redis.hget(`${wired.prefix}:${QUEUES.event}:${started}`, 'atm');
      expect(Number(job)).toBeGreaterThan(0);
    }, PATIENCE_MS);
    const size = { cpuCores: 1, memoryMB: 1024, storageMB: 1024 };
    await say('device.created', { deviceId, type: 'tablet', region: deviceId, ...size });
    await untilTaken(started);
    await say('device.created', { deviceId, ...size });
    const device = await db().device.findUniqueOrThrow({ where: { id: deviceId } });
    expect(device).toMatchObject({ status: 'running', type: 'tablet', name: `device ${deviceId}`, providerType: 'redroid' });
  });

  test.each(['device.created', 'device.started'])('that is deleted is not brought back by %s', async (topic) => {
    const [deviceId = ''] = await addDevices(wired.store, alike(1, { type: 'tablet', region: randomUUID() }));
    await say('device.deleted', { deviceId });
    await say(topic, { deviceId, newStatus: 'running', cpuCores: 1, memoryMB: 1024, storageMB: 1024 });
    expect(await db().device.findUniqueOrThrow({ where: { id: deviceId } })).toMatchObject({ status: 'deleted' });
  });

  test.each([
    ['device.stopped', 'stopped'],
    ['device.permanent_failure', 'error'],
  ])('%s moves its holder to another device that is free', async (topic, status) => {
    const { userId, allocations } = await holder(1, 1);
    const deviceId = allocations[0]?.deviceId ?? '';
    await say(topic, { deviceId });
    expect(await db().device.findUniqueOrThrow({ where: { id: deviceId } })).toMatchObject({ status, allocationId: null });
    await eventually(async () => expect(await ends(userId)).toEqual(['device_failed', null]), PATIENCE_MS);
    const live = await db().allocation.findFirstOrThrow({ where: { userId, endedAt: null } });
    expect(live.deviceId).not.toBe(deviceId);
    expect(live.durationMinutes).toBeLessThanOrEqual(60);
  });

  test.each([
    ['device.failed', {}, 'error'],
    ['device.status_changed', { newStatus: 'stopped' }, 'stopped'],
    ['device.created', { newStatus: 'error', name: 'again', type: 'tablet', cpuCores: 4, memoryMB: 8192, storageMB: 65_536 }, 'error'],
  ])('%s %j ends its allocation, and its holder is told when no other device is free', async (topic, said, status) => {
    const { userId, allocations } = await holder(1);
    const [{ deviceId, allocationId } = { deviceId: '', allocationId: '' }] = allocations;
    await db().$executeRaw`UPDATE allocations SET cpu_cores = 100000 WHERE id = ${allocationId}::uuid`;
    await say(topic, { deviceId, ...said });
    expect(await db().device.findUniqueOrThrow({ where: { id: deviceId } })).toMatchObject({ status, allocationId: null });
    await eventually(async () => {
      const { id } = await db().request.findFirstOrThrow({ where: { userId, source: 'event' } });
      const told = await db().outboxEntry.findMany({ where: { key: id } });
      expect(told.map((row) => row.topic)).toEqual(['scheduler.allocation.failed']);
    }, PATIENCE_MS);
    expect(await ends(userId)).toEqual(['device_failed']);
  });

  test('moves nobody when relocation is off', async () => {
    const { userId, allocations } = await holder(1, 1);
    const deviceId = allocations[0]?.deviceId ?? '';
    const event = { eventId: randomUUID(), topic: 'device.failed' };
    const action = { action: 'set-device-status', deviceId, status: 'error' } as const;
    const off = { ...bench.deps, capacity: wired.capacity, relocate: false };
    await changeStatus(off, { event, action }, new AbortController().signal);
    expect(await ends(userId)).toEqual(['device_failed']);
    expect(await db().request.count({ where: { userId } })).toBe(1);
  });

  test.each(['paused', 'idle', 'creating'])('that is merely %s now leaves it to its holder', async (newStatus) => {
    const { userId, allocations } = await holder(1, 1);
    await say('device.status_changed', { deviceId: allocations[0]?.deviceId, newStatus });
    expect(await ends(userId)).toEqual([null]);
  });

  test.each([
    ['device.maintenance', { maintenanceType: 'planned' }, 'device_maintenance', 'maintenance'],
    ['device.deleted', {}, 'device_deleted', 'deleted'],
    ['device.status_changed', { newStatus: 'maintenance' }, 'device_maintenance', 'maintenance'],
    ['device.status_changed', { newStatus: 'deleted' }, 'device_deleted', 'deleted'],
  ])('%s %j ends its allocation for that reason, and moves nobody', async (topic, said, reason, status) => {
    const { userId, allocations } = await holder(1, 1);
    const deviceId = allocations[0]?.deviceId ?? '';
    await bench.publish(topic, enveloped(topic, { deviceId, ...said }));
    await eventually(async () => expect(await ends(userId)).toEqual([reason]), PATIENCE_MS);
    expect(await db().device.findUniqueOrThrow({ where: { id: deviceId } })).toMatchObject({ status, allocationId: null });
    expect(await db().request.count({ where: { userId } })).toBe(1);
  });

  describe('that goes down with reservations', () => {
    let cores = 1_000;

    /** Devices bigger than any before, so many, and what only they are big enough for. */
    async function reservable(count: number) {
      cores += 1;
      return { ids: await addDevices(wired.store, alike(count, { cpuCores: cores, type: 'phone' })), wish: { minCpu: cores } };
    }
    const deviceOf = async (id: string) => (await db().reservation.findUniqueOrThrow({ where: { id } })).deviceId;
    const said = async (key: string) =>
      (await db().outboxEntry.findMany({ where: { key }, orderBy: { id: 'asc' } })).map(({ topic }) => topic);

    test.each(['device.failed', 'device.maintenance', 'device.deleted', 'device.stopped', 'device.error'])(
      '%s moves them to another device at once',
      async (topic) => {
        const { ids, wish } = await reservable(2);
        const first = await booked(wired.store, { ...wish, inMinutes: 120 });
        const second = await booked(wired.store, { ...wish, inMinutes: 240 });
        const down = first.deviceId ?? '';
        const other = ids.find((id) => id !== down);
        const stranded = [first, second].filter(({ deviceId }) => deviceId === down);
        await bench.publish(topic, { deviceId: down });
        for (const { reservationId } of stranded) {
          await eventually(async () => expect(await deviceOf(reservationId)).toBe(other), PATIENCE_MS);
          expect(await said(reservationId)).toEqual(['scheduler.reservation.created', 'scheduler.reservation.updated']);
        }
        expect(await db().reservation.count({ where: { deviceId: other ?? '', status: 'confirmed' } })).toBe(2);
        expect(await readInvariants(wired.store)).toEqual([]);
      },
    );

    test('leaves those that no other device is free for, and those for this very device', async () => {
      const { ids, wish } = await reservable(2);
      const [down = '', other = ''] = ids;
      const named = await booked(wired.store, { wantedDeviceId: down, inMinutes: 120 });
      const full = await booked(wired.store, { wantedDeviceId: other, inMinutes: 240 });
      const both = await booked(wired.store, { ...wish, inMinutes: 240 });
      expect(both.deviceId).toBe(down);
      const free = await booked(wired.store, { ...wish, wantedDeviceId: down, inMinutes: 360 });
      await db().$executeRaw`UPDATE reservations SET wanted_device_id = NULL WHERE id = ${free.reservationId}::uuid`;
      await bench.publish('device.failed', { deviceId: down });
      await eventually(async () => expect(await deviceOf(free.reservationId)).toBe(other), PATIENCE_MS);
      expect(await deviceOf(named.reservationId)).toBe(down);
      expect(await deviceOf(both.reservationId)).toBe(down);
      expect(await deviceOf(full.reservationId)).toBe(other);
      expect(await said(both.reservationId)).toEqual(['scheduler.reservation.created']);
    });

    test('moves them also when the worker died between the event and the move', async () => {
      const { ids, wish } = await reservable(2);
      const reservation = await booked(wired.store, { ...wish, inMinutes: 120 });
      const down = reservation.deviceId ?? '';
      const eventId = randomUUID();
      await db().inboxEntry.create({ data: { eventId, topic: 'device.failed' } });
      await db().device.update({ where: { id: down }, data: { status: 'error' } });
      await bench.publish('device.failed', { deviceId: down }, eventId);
      await eventually(async () => expect(await deviceOf(reservation.reservationId)).toBe(ids.find((id) => id !== down)), PATIENCE_MS);
    });

    test('and is back before they were looked at keeps them', async () => {
      const { wish } = await reservable(2);
      const { reservationId, deviceId } = await booked(wired.store, { ...wish, inMinutes: 120 });
      expect(await moveReservations({ ...bench.deps, capacity: wired.capacity }, deviceId ?? '', new AbortController().signal)).toEqual({
        moved: 0,
        left: 0,
      });
      expect(await deviceOf(reservationId)).toBe(deviceId);
    });

    test('one that cannot be moved stops no other; an outage has all tried again', async () => {
      const { wish, ids } = await reservable(3);
      const asked = [await booked(wired.store, { ...wish, inMinutes: 120 }), await booked(wired.store, { ...wish, inMinutes: 240 })];
      const down = ids[0] ?? '';
      for (const { reservationId } of asked)
        await db().$executeRaw`UPDATE reservations SET device_id = ${down}::uuid WHERE id = ${reservationId}::uuid`;
      await db().device.update({ where: { id: down }, data: { status: 'error' } });
      const failing = (error: Error) => {
        let failed = false;
        const transaction: Wired['store']['transaction'] = async (work) => {
          if (failed) return wired.store.transaction(work);
          failed = true;
          throw error;
        };
        return { ...bench.deps, capacity: wired.capacity, store: { ...wired.store, transaction } };
      };
      const { signal } = new AbortController();
      const outage = new SchedulerError('STORE_UNAVAILABLE');
      await expect(moveReservations(failing(outage), down, signal)).rejects.toBe(outage);
      await expect(moveReservations(failing(outage), down, AbortSignal.abort())).rejects.toThrow();
      expect(await moveReservations(failing(new Error('its own fault')), down, signal)).toEqual({ moved: 1, left: 1 });
      expect(await deviceOf(asked[0]?.reservationId ?? '')).toBe(down);
    });
  });

  test('that nobody knows changes nothing', async () => {
    await say('device.error', { deviceId: randomUUID() });
  });
});

describe('an event about a user', () => {
  test('suspends: everything ends, what waits is taken back, nothing new until activated', async () => {
    const { userId, wish } = await holder(2);
    const waiting = randomUUID();
    const wanted = { deviceId: await busyDevice() };
    expect(await wired.allocate(userId, { requestId: waiting, devicePreferences: wanted, queueIfBusy: true })).toMatchObject({
      status: 'waiting',
    });
    await say('user.suspended', { userId });
    expect(await ends(userId)).toEqual(['user_suspended', 'user_suspended']);
    await eventually(
      async () =>
        expect(await db().request.findUnique({ where: { id: waiting } })).toMatchObject({
          status: expect.stringMatching(/^(cancelled|refused)$/),
        }),
      PATIENCE_MS,
    );
    expect(await wired.allocate(userId, wish)).toMatchObject({ status: 'refused', code: 'USER_SUSPENDED' });
    await say('user.activated', { userId });
    expect(await wired.allocate(userId, wish)).toMatchObject({ status: 'granted' });
  });

  test.each([
    ['user.suspended', 'user_suspended', 'USER_SUSPENDED', 'suspended'],
    ['user.deleted', 'user_deleted', 'USER_DELETED', 'deleted'],
  ])(
    '%s takes back reservations and the place in the queue, and lets nobody in again before user.activated',
    async (topic, reason, code, state) => {
      const { userId, wish, deviceIds } = await holder(1, 1);
      const later = { userId, deviceType: 'tablet', wantedDeviceId: deviceIds[1] ?? '' } as const;
      const soon = await booked(wired.store, { ...later, inMinutes: 120 });
      const far = await booked(wired.store, { ...later, inMinutes: 600 });
      const entry = queued(userId, await busyDevice());
      expect(await joinQueue(wired.store, entry)).toEqual({ kind: 'joined' });

      await say(topic, { userId });
      expect(await ends(userId)).toEqual([reason]);
      const cancelled = { status: 'cancelled', cancelReason: state };
      await eventually(
        async () =>
          expect(await db().reservation.findMany({ where: { id: { in: [soon.reservationId, far.reservationId] } } })).toMatchObject([
            cancelled,
            cancelled,
          ]),
        PATIENCE_MS,
      );
      await eventually(
        async () => expect(await db().request.findUnique({ where: { id: entry.requestId } })).toMatchObject({ status: 'cancelled' }),
        PATIENCE_MS,
      );
      expect(await told(soon.reservationId)).toContain('scheduler.reservation.cancelled');
      expect(await told(entry.requestId)).toEqual(['scheduler.queue.joined', 'scheduler.queue.cancelled']);
      expect(await wired.allocate(userId, wish)).toMatchObject({ status: 'refused', code });
      expect(await joinQueue(wired.store, queued(userId, null))).toMatchObject({ kind: 'refused', refusal: { code } });
      expect(await bookDirectly(wired.store, { ...later, inMinutes: 120 })).toMatchObject({ status: 'refused', code });

      await say('user.activated', { userId });
      expect(await bookDirectly(wired.store, { ...later, inMinutes: 120 })).toMatchObject({ status: 'reserved' });
      expect(await joinQueue(wired.store, queued(userId, null))).toEqual({ kind: 'joined' });
      expect(await wired.allocate(userId, { devicePreferences: wish.devicePreferences, durationMinutes: 30 })).toMatchObject({
        status: 'granted',
      });
    },
  );

  test.each([
    ['user.suspended', 1, 'suspended'],
    ['user.deleted', 1, 'deleted'],
    ['billing.overdue', 1, 'arrears'],
    ['billing.payment_failed', 3, 'arrears'],
  ])(
    '%s (%i times) takes back reservations and the place in the queue, and who waits gets the device at once',
    async (topic, times, why) => {
      const userId = someone();
      const [deviceId = ''] = await addDevices(wired.store, alike(1));
      const { reservationId } = await booked(wired.store, { userId, inMinutes: 30, wantedDeviceId: deviceId });
      const entry = queued(userId, await busyDevice());
      expect(await joinQueue(wired.store, entry)).toEqual({ kind: 'joined' });
      const waiter = someone();
      const wish = { devicePreferences: { deviceId }, durationMinutes: 60, queueIfBusy: true };
      expect(await wired.allocate(waiter, wish)).toMatchObject({ status: 'waiting' });
      for (let time = 0; time < times; time += 1) await say(topic, { userId });
      await eventually(async () => {
        expect(await db().allocation.findMany({ where: { userId: waiter } })).toMatchObject([{ deviceId, status: 'allocated' }]);
        expect(await db().request.findUnique({ where: { id: entry.requestId } })).toMatchObject({ status: 'cancelled' });
      }, PATIENCE_MS);
      const reservation = await db().reservation.findUniqueOrThrow({ where: { id: reservationId } });
      expect(reservation).toMatchObject({ status: 'cancelled', cancelReason: why });
    },
  );

  test.each([2, -1])('a higher limit (%i) wakes what the user waits for', async (maxDevices) => {
    const { userId } = await holder(1);
    wired.users.control.setQuota(userId, { limits: { maxDevices: 1 } });
    await say('user.quota_updated', { userId });
    const [deviceId = ''] = await addDevices(wired.store, alike(1));
    const entry = queued(userId, deviceId);
    expect(await joinQueue(wired.store, entry)).toEqual({ kind: 'joined' });
    await wired.capacity.changed({ requests: [entry.requestId] });
    const parked = (waits: unknown) =>
      eventually(
        async () => expect(await db().request.findUnique({ where: { id: entry.requestId } })).toMatchObject({ parked: waits }),
        PATIENCE_MS,
      );
    await parked(expect.any(String));
    wired.users.control.setQuota(userId, { limits: { maxDevices } });
    await say('user.quota_updated', { userId, limits: { maxDevices } });
    await wired.untilDecided(entry.requestId);
    expect(await db().allocation.findFirst({ where: { userId, endedAt: null, deviceId } })).not.toBeNull();
  });

  const told = async (key: string) =>
    (await db().outboxEntry.findMany({ where: { key }, orderBy: { id: 'asc' } })).map(({ topic }) => topic);

  /** An entry of the queue, for this device or for one that is nowhere. */
  function queued(userId: string, deviceId: string | null) {
    const asked = askedAllocation.parse({ queueIfBusy: true, devicePreferences: { deviceId: deviceId ?? randomUUID() } });
    const words = { caller: 'test', source: 'http', tenantId: null, tier: 'standard', traceId: undefined } as const;
    return { requestId: randomUUID(), userId, asked, ...words };
  }

  test.each(['user.quota_updated', 'quota.updated'])('%s ends the oldest allocations down to a lower limit', async (topic) => {
    const { userId } = await holder(3);
    await say(topic, { userId, newQuota: { maxDevices: 1 } });
    expect(await ends(userId)).toEqual(['quota_reduced', 'quota_reduced', null]);
    await say(topic, { userId, limits: { maxDevices: 5 } });
    expect(await ends(userId)).toEqual(['quota_reduced', 'quota_reduced', null]);
  });

  /** A device somebody else holds. */
  async function busyDevice() {
    const other = await holder(1);
    return other.allocations[0]?.deviceId ?? '';
  }
});

describe('an event about money', () => {
  test.each(['billing.overdue', 'billing.invoice_overdue'])(
    '%s ends everything until it is paid, and is told by every way',
    async (topic) => {
      const { userId, wish } = await holder(2);
      await say(topic, { userId, overdueAmount: 12.5, overdueDays: 3 });
      expect(await ends(userId)).toEqual(['arrears', 'arrears']);
      expect(await wired.allocate(userId, wish)).toMatchObject({ status: 'refused', code: 'ACCOUNT_IN_ARREARS' });
      await say('billing.payment_success', { userId, amount: 12.5 });
      expect(await wired.allocate(userId, wish)).toMatchObject({ status: 'granted' });
      expect(await alerts(userId)).toEqual(['arrears', 'restored']);
    },
  );

  test('a failed payment is counted, once an event, and the third in a row is arrears', async () => {
    const { userId } = await holder(1);
    const first = await say('billing.payment_failed', { userId, amount: '9.90' });
    await bench.publish('billing.payment_failed', { userId, amount: '9.90' }, first);
    await say('billing.recharged', { userId });
    for (const _second of [1, 2]) await say('billing.payment_failed', { userId });
    expect(await db().user.findUniqueOrThrow({ where: { id: userId } })).toMatchObject({ paymentFailures: 2, arrearsSince: null });
    expect(await ends(userId)).toEqual([null]);
    await say('billing.payment_failed', { userId });
    expect(await ends(userId)).toEqual(['arrears']);
    expect(await alerts(userId)).toEqual(['payment_failed', 'payment_failed', 'payment_failed', 'payment_failed', 'arrears']);
  });

  test('a low balance is told', async () => {
    const userId = someone();
    await say('billing.low_balance', { userId, currentBalance: 1.5 });
    expect(await alerts(userId)).toEqual(['balance_low']);
  });
});

describe('an order', () => {
  const answerTo = (sagaId: string) =>
    eventually(async () => {
      const rows = await db().outboxEntry.findMany({ where: { topic: `device.allocate.${sagaId}` } });
      expect(rows).toHaveLength(1);
      return rows[0]?.payload;
    }, PATIENCE_MS);

  test('gets a device, is told which, once, and gives it back', async () => {
    await addDevices(wired.store, alike(1));
    const [sagaId, userId] = [randomUUID(), someone()];
    await db().user.create({ data: { id: userId, tenantId: 'acme' } });
    const eventId = await bench.publish('device.allocate.requested', { sagaId, orderId: 'o1', userId, planId: 'p' });
    await bench.publish('device.allocate.requested', { sagaId, orderId: 'o1', userId, planId: 'p' }, eventId);
    const answer = (await answerTo(sagaId)) as { deviceId: string };
    expect(answer).toMatchObject({ sagaId, orderId: 'o1', userId, success: true, deviceId: expect.any(String) });
    expect(await db().allocation.findMany({ where: { userId } })).toMatchObject([{ tenantId: 'acme' }]);
    await say('device.release', { deviceId: answer.deviceId, userId: someone(), reason: 'not mine' });
    expect(await ends(userId)).toEqual([null]);
    await say('device.release', { deviceId: answer.deviceId, userId, reason: 'over' });
    expect(await ends(userId)).toEqual(['order_released']);
    expect(await malformedEvents(wired.store)).toEqual([]);
  });

  test('that is sent again under another id gets the same device and the same answer; another user nothing of it', async () => {
    await addDevices(wired.store, alike(3));
    const [sagaId, userId, other] = [randomUUID(), someone(), someone()];
    for (const asker of [userId, userId, other]) await say('device.allocate.requested', { sagaId, orderId: 'o1', userId: asker });
    const [held, ...more] = await db().allocation.findMany({ where: { userId } });
    expect(more).toEqual([]);
    const rows = await db().outboxEntry.findMany({ where: { topic: `device.allocate.${sagaId}` }, orderBy: { id: 'asc' } });
    const answer = expect.objectContaining({ userId, success: true, deviceId: held?.deviceId });
    expect(rows.map(({ payload }) => payload)).toEqual([answer, answer, expect.objectContaining({ userId: other, success: true })]);
    expect(await db().allocation.count({ where: { userId: other } })).toBe(1);
  });

  test('of somebody who may not have one is told why', async () => {
    const [sagaId, userId] = [randomUUID(), someone()];
    wired.users.control.setQuota(userId, 'none');
    await bench.publish('device.allocate.requested', { sagaId, orderId: 'o2', userId });
    expect(await answerTo(sagaId)).toMatchObject({ success: false, deviceId: null, error: 'QUOTA_NOT_FOUND' });
  });
});
