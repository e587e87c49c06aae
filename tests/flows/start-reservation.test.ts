import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Queue } from 'bullmq';
import { SchedulerClient } from '../../queues/client.ts';
import { RESERVATION_SCHEDULES } from '../../queues/schedules.ts';
import type { QuotaFact } from '../../shared/allocation/facts.ts';
import { checkStrategy, RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { expireDue } from '../../shared/store/expire.ts';
import { grantGroup } from '../../shared/store/grant-group.ts';
import { noteShown } from '../../shared/store/read-reservations.ts';
import { requestIdOf } from '../../shared/store/start-reservation.ts';
import { activateType } from '../../shared/store/strategies.ts';
import { expire } from '../../workers/maintenance/expire.ts';
import type { ReservationParts } from '../../workers/reservations/handlers.ts';
import { startReservations } from '../../workers/reservations/start-reservations.ts';
import { type ApiBench, asService, asUser, openApiBench, quotaOf } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { gathered, requestBy } from '../support/gathered.ts';
import { readInvariants } from '../support/invariants.ts';
import { openRedis, redisAddress } from '../support/open-redis.ts';
import { bookDirectly, booked, letPass, reservationParts, runTick } from '../support/reservation-bench.ts';

let bench: ApiBench;
let parts: ReservationParts;

beforeAll(async () => {
  bench = await openApiBench();
  parts = reservationParts(bench);
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.prisma.$executeRaw`
    TRUNCATE devices, allocations, requests, users, ledger, outbox, reservations, reservation_series, scheduled_runs CASCADE`;
});

const row = (id: string) => bench.store.prisma.reservation.findUniqueOrThrow({ where: { id } });
const told = async (topic: string) =>
  (await bench.store.prisma.outboxEntry.findMany({ where: { topic }, orderBy: { id: 'asc' } })).map(
    ({ payload }) => payload as Record<string, unknown>,
  );
const leaseOf = async (id: string) =>
  bench.store.prisma.allocation.findUniqueOrThrow({ where: { id: (await row(id)).allocationId ?? '' } });

describe('a due reservation', () => {
  it('begins as a grant that ends when it does, with all that belongs to one', async () => {
    const [deviceId = ''] = await bench.addDevices(1);
    const { reservationId, endsAt } = await booked(bench.store, { userId: 'ann', inMinutes: 5, remindBeforeMinutes: 0 });
    expect(await runTick(parts)).toMatchObject({ started: 0 });
    await letPass(bench.store, 7);
    expect(await runTick(parts)).toMatchObject({ started: 1, expired: 0, noShows: 0 });
    expect(await row(reservationId)).toMatchObject({ status: 'executing', deviceId });
    const lease = await leaseOf(reservationId);
    expect(lease).toMatchObject({ userId: 'ann', deviceId, status: 'allocated', strategy: 'resource_based', fence: 1n });
    expect(lease.expiresAt.getTime()).toBe(endsAt.getTime() - 7 * 60_000);
    expect(lease.allocatedAt.getTime()).toBeGreaterThan(lease.expiresAt.getTime() - 60 * 60_000);
    expect(await told('scheduler.reservation.executed')).toMatchObject([{ reservationId, allocationId: lease.id, swappedFrom: null }]);
    expect(await bench.store.prisma.request.findUnique({ where: { id: requestIdOf(reservationId) } })).toMatchObject({
      status: 'granted',
      source: 'reservation',
    });
    expect(await runTick(parts)).toMatchObject({ started: 0 });
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  it('fails in safe mode when the balance does not cover its window on its device', async () => {
    const safe: ReservationParts = { ...parts, policy: { ...parts.policy, reserveFullTerm: true } };
    const [covered = '', dear = ''] = await Promise.all([
      bench.addDevices(1, { costPerHour: 90 }).then(([id]) => id),
      bench.addDevices(1, { costPerHour: 120 }).then(([id]) => id),
    ]);
    const book = (wantedDeviceId: string) => booked(bench.store, { wantedDeviceId, inMinutes: 5, remindBeforeMinutes: 0 });
    const [good, bad] = [await book(covered), await book(dear)];
    await letPass(bench.store, 6);
    await runTick(safe);
    expect(await row(good.reservationId)).toMatchObject({ status: 'executing', deviceId: covered });
    expect(await row(bad.reservationId)).toMatchObject({ status: 'failed', failureCode: 'INSUFFICIENT_BALANCE' });
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  it('ends by reservation_ended at its end, whichever sweep comes first, and is completed', async () => {
    await bench.addDevices(1);
    const { reservationId } = await booked(bench.store, { inMinutes: 5 });
    await letPass(bench.store, 7);
    await runTick(parts);
    await letPass(bench.store, 60);
    await expireDue(bench.store, 100, { cleaningSeconds: 0 });
    const lease = await leaseOf(reservationId);
    expect(lease).toMatchObject({ endReason: 'reservation_ended' });
    expect(lease.endedAt).toEqual(lease.expiresAt);
    expect(await row(reservationId)).toMatchObject({ status: 'completed' });
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  it('goes to another matching device when its own is down, and says so', async () => {
    const [first = '', second = ''] = await bench.addDevices(2);
    await bench.addDevices(1, { type: 'tablet', cpuCores: 64 });
    const { reservationId, deviceId } = await booked(bench.store, { inMinutes: 5, deviceType: 'phone' });
    await bench.store.prisma.device.update({ where: { id: deviceId ?? '' }, data: { status: 'error' } });
    await letPass(bench.store, 6);
    expect(await runTick(parts)).toMatchObject({ started: 1 });
    const other = deviceId === first ? second : first;
    expect(await row(reservationId)).toMatchObject({ status: 'executing', deviceId: other });
    expect(await told('scheduler.reservation.executed')).toMatchObject([{ deviceId: other, swappedFrom: deviceId }]);
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  it.each(['resource_based', 'cost_optimization', 'resource_efficiency', 'load_balancing', 'locality_aware'] as const)(
    'goes to the device that %s names when its own is down',
    async (type) => {
      const checked = checkStrategy(type, {});
      if (!checked.ok) throw new Error(`${type} needs settings`);
      const [own = ''] = await bench.addDevices(1, { nodeId: 'full' });
      const [big = ''] = await bench.addDevices(1, { nodeId: 'full', region: 'north', cpuCores: 32, memoryMb: 65_536, costPerHour: 5 });
      const [small = ''] = await bench.addDevices(1, { nodeId: 'empty', region: 'south', costPerHour: 1 });
      // What ann had last, and has given back by then.
      const policy = { ...parts.policy, strategy: RESOURCE_BASED };
      await grantGroup(bench.store, [gathered(requestBy('ann', { devicePreferences: { deviceId: small } }))], policy);
      await activateType(bench.store, type);
      try {
        await bench.store.prisma.$executeRaw`UPDATE node_loads SET held = 7 WHERE node_id = 'full'`;
        const { reservationId } = await booked(bench.store, { userId: 'ann', inMinutes: 70 });
        await bench.store.prisma.$executeRaw`UPDATE reservations SET device_id = ${own}::uuid`;
        await bench.store.prisma.device.update({ where: { id: own }, data: { status: 'error' } });
        await letPass(bench.store, 75);
        expect(await runTick({ ...parts, strategy: () => checked.strategy })).toMatchObject({ started: 1 });
        expect((await row(reservationId)).deviceId).toBe(type === 'resource_based' ? big : small);
      } finally {
        await activateType(bench.store, 'resource_based');
      }
    },
  );

  it('is handed to the waiting queue, ahead of everybody, when no other device is left', async () => {
    const [id = ''] = await bench.addDevices(1);
    const { reservationId } = await booked(bench.store, { userId: 'ann', inMinutes: 5, durationMinutes: 30 });
    await bench.store.prisma.device.update({ where: { id }, data: { draining: true } });
    await letPass(bench.store, 10);
    expect(await runTick(parts)).toMatchObject({ started: 0 });
    const queueId = requestIdOf(reservationId);
    expect(await row(reservationId)).toMatchObject({ status: 'failed', failureCode: 'NO_DEVICE_AVAILABLE', queueEntryId: queueId });
    expect(await told('scheduler.reservation.failed')).toMatchObject([{ reservationId, queueId, code: 'NO_DEVICE_AVAILABLE' }]);
    const waiting = await bench.store.prisma.request.findUniqueOrThrow({ where: { id: queueId } });
    expect(waiting).toMatchObject({ status: 'waiting', userId: 'ann' });
    expect((waiting.rankAt ?? new Date()).getTime()).toBeLessThan(Date.now() - 3_600_000);
    expect((waiting.asked as { durationMinutes: number }).durationMinutes).toBeLessThan(30);
  });

  it('on the one device that was asked for by name goes to no other', async () => {
    const [id = ''] = await bench.addDevices(2);
    const { reservationId } = await booked(bench.store, { inMinutes: 5, wantedDeviceId: id });
    await bench.store.prisma.device.update({ where: { id }, data: { status: 'stopped' } });
    await letPass(bench.store, 7);
    await runTick(parts);
    expect(await row(reservationId)).toMatchObject({ status: 'failed', deviceId: id });
  });

  it('of a user who may not have it fails at once if that cannot pass, and is asked again if it may', async () => {
    await bench.addDevices(4);
    const quotas = new Map<string, QuotaFact>([
      ['full', quotaOf(0)],
      ['away', { kind: 'unavailable', reason: 'down' }],
      ['gone', { kind: 'none' }],
    ]);
    const strict = reservationParts(bench, { quotas });
    const ids = new Map<string, string>();
    for (const userId of ['full', 'away', 'gone', 'blocked'])
      ids.set(userId, (await booked(bench.store, { userId, inMinutes: 5 })).reservationId);
    await bench.store.prisma.user.update({ where: { id: 'blocked' }, data: { state: 'suspended' } });
    await letPass(bench.store, 7);
    await runTick(strict);
    const state = async (userId: string) => row(ids.get(userId) ?? '');
    expect(await state('gone')).toMatchObject({ status: 'failed', failureCode: 'QUOTA_NOT_FOUND' });
    expect(await state('blocked')).toMatchObject({ status: 'failed', failureCode: 'USER_SUSPENDED' });
    expect(await state('full')).toMatchObject({ status: 'confirmed', lastError: expect.stringContaining('QUOTA_EXCEEDED') });
    expect(await state('away')).toMatchObject({ status: 'confirmed', lastError: expect.stringContaining('QUOTA_UNAVAILABLE') });
    quotas.delete('away');
    await letPass(bench.store, 11);
    await runTick(strict);
    expect(await state('away')).toMatchObject({ status: 'executing' });
    expect(await state('full')).toMatchObject({ status: 'failed', failureCode: 'QUOTA_EXCEEDED' });
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  it('does not count the own lease before it against the limit of its user', async () => {
    await bench.addDevices(2);
    const one = reservationParts(bench, { quotas: new Map([['ann', quotaOf(1)]]) });
    const first = await booked(bench.store, { userId: 'ann', inMinutes: 5, durationMinutes: 30 });
    const second = await booked(bench.store, { userId: 'ann', inMinutes: 35, durationMinutes: 30 });
    await letPass(bench.store, 7);
    await runTick(one);
    await letPass(bench.store, 30);
    expect(await runTick(one)).toMatchObject({ started: 1 });
    expect([(await row(first.reservationId)).status, (await row(second.reservationId)).status]).toEqual(['completed', 'executing']);
  });
});

/** Every device held by a user of its own until some seconds from now, no two until the same. */
async function holdUntilNow(devices: readonly string[]): Promise<void> {
  const policy = { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true, strategy: RESOURCE_BASED };
  const requests = devices.map((deviceId, index) => requestBy(`holder-${index}`, { devicePreferences: { deviceId } }));
  for (let from = 0; from < requests.length; from += 50)
    await grantGroup(bench.store, requests.slice(from, from + 50).map(gathered), policy);
  await bench.store.prisma.$executeRaw`
    UPDATE allocations a SET allocated_at = a.allocated_at - x.by, expires_at = a.expires_at - x.by
    FROM (SELECT id, make_interval(mins => duration_minutes - 10, secs => row_number() OVER (ORDER BY device_id)) AS by FROM allocations) x WHERE x.id = a.id`;
}

/** One run of the expiry job. */
const sweep = () =>
  expire(
    {
      store: bench.store,
      ending: { cleaningSeconds: 0 },
      heartbeatGraceSeconds: 10,
      metrics: parts.metrics,
      logger: parts.logger,
      announce: async () => undefined,
      announceCleaned: async () => undefined,
    },
    new AbortController().signal,
  );

describe('after a downtime', () => {
  it('over twenty starts all are caught up in order, each billed to the second of its real end', async () => {
    const [deviceId = ''] = await bench.addDevices(1);
    const others = await bench.addDevices(19);
    // Five back to back on one device; the rest side by side, starting a minute apart.
    for (let index = 0; index < 5; index += 1)
      await booked(bench.store, { userId: `row-${index}`, wantedDeviceId: deviceId, inMinutes: 10 + 15 * index, durationMinutes: 15 });
    for (let index = 0; index < 15; index += 1)
      await booked(bench.store, {
        userId: `side-${index}`,
        wantedDeviceId: others[index] ?? '',
        inMinutes: 10 + index,
        durationMinutes: 120,
      });
    // The first of the row begins; then nobody looks until the fourth is running.
    await letPass(bench.store, 11);
    await runTick(parts);
    await letPass(bench.store, 50);
    await bench.store.prisma.$executeRaw`UPDATE scheduled_runs SET last_run_at = now() - interval '50 minutes'`;
    await runTick(parts);
    const row5 = await bench.store.prisma.reservation.findMany({ where: { userId: { startsWith: 'row-' } }, orderBy: { startsAt: 'asc' } });
    expect(row5.map(({ status }) => status)).toEqual(['completed', 'expired', 'expired', 'executing', 'confirmed']);
    expect(await bench.store.prisma.reservation.count({ where: { userId: { startsWith: 'side-' }, status: 'executing' } })).toBe(15);
    const executed = (await told('scheduler.reservation.executed')).map(({ reservedStartTime }) => String(reservedStartTime));
    const second = executed.slice(-15);
    expect(second).toEqual(second.toSorted());
    await letPass(bench.store, 200);
    for (let look = 0; look < 3; look += 1) {
      await runTick(parts);
      await expireDue(bench.store, 100, { cleaningSeconds: 0 });
    }
    const bills = await bench.store.prisma.$queryRaw<{ wrong: number; n: number }[]>`
      SELECT count(*)::int AS n, count(*) FILTER (WHERE l.duration_seconds <> floor(extract(epoch FROM a.ended_at - a.allocated_at)) OR a.ended_at <> a.expires_at
        OR l.end_reason <> 'reservation_ended')::int AS wrong FROM ledger l JOIN allocations a ON a.id = l.allocation_id`;
    expect(bills).toEqual([{ n: 17, wrong: 0 }]);
    expect(await bench.store.prisma.reservation.count({ where: { status: { in: ['confirmed', 'executing'] } } })).toBe(0);
  });

  it('over two hundred ends and twenty starts on devices that ended, sweep and look together catch up with all', async () => {
    const devices = await bench.addDevices(200);
    await holdUntilNow(devices);
    const booking = devices.slice(0, 20).map((wantedDeviceId, index) => ({ userId: `next-${index}`, wantedDeviceId }));
    for (const [index, wish] of booking.entries()) {
      const { expiresAt: startsAt } = await bench.store.prisma.allocation.findFirstOrThrow({ where: { deviceId: wish.wantedDeviceId } });
      await booked(bench.store, { ...wish, startsAt, durationMinutes: 60 + index });
    }
    await letPass(bench.store, 20);
    const [started, ended] = await Promise.all([runTick(parts), sweep()]);
    expect(started).toMatchObject({ started: 20, expired: 0 });
    expect(ended).toMatchObject({ stuck: 0 });
    const live = await bench.store.prisma.allocation.findMany({ where: { status: 'allocated' }, orderBy: { userId: 'asc' } });
    expect(live.map(({ userId }) => userId)).toEqual(booking.map(({ userId }) => userId).toSorted());
    const times = (await told('scheduler.reservation.executed')).map(({ reservedStartTime }) => String(reservedStartTime));
    expect(times).toEqual(times.toSorted());
    expect(await readInvariants(bench.store)).toEqual([]);
    await letPass(bench.store, 100);
    await Promise.all([runTick(parts), sweep()]);
    const bills = await bench.store.prisma.$queryRaw`
      SELECT l.end_reason AS "endReason", count(*)::int AS bills,
        count(*) FILTER (WHERE a.ended_at = a.expires_at AND l.duration_seconds = floor(extract(epoch FROM a.expires_at - a.allocated_at)))::int AS exact
      FROM allocations a LEFT JOIN ledger l ON l.allocation_id = a.id GROUP BY 1 ORDER BY 1`;
    expect(bills).toEqual([
      { endReason: 'expired', bills: 200, exact: 200 },
      { endReason: 'reservation_ended', bills: 20, exact: 20 },
    ]);
    expect(await bench.store.prisma.reservation.count({ where: { status: 'completed' } })).toBe(20);
  }, 120_000);

  it('a late start is for the rest of the window, and one whose window is over has expired', async () => {
    await bench.addDevices(2);
    const late = await booked(bench.store, { inMinutes: 5, durationMinutes: 60 });
    const over = await booked(bench.store, { inMinutes: 5, durationMinutes: 30 });
    await letPass(bench.store, 45);
    expect(await runTick(parts)).toMatchObject({ started: 1, expired: 1 });
    expect(await row(over.reservationId)).toMatchObject({ status: 'expired' });
    expect(await told('scheduler.reservation.expired')).toMatchObject([{ reservationId: over.reservationId }]);
    const lease = await leaseOf(late.reservationId);
    expect(lease.expiresAt).toEqual((await row(late.reservationId)).endsAt);
    expect(lease.expiresAt.getTime() - lease.allocatedAt.getTime()).toBeLessThan(30 * 60_000);
  });

  it('nobody is a no-show for the time we were away', async () => {
    await bench.addDevices(1);
    const { reservationId } = await booked(bench.store, { inMinutes: 5 });
    await letPass(bench.store, 7);
    await runTick(parts);
    await letPass(bench.store, 30);
    await bench.store.prisma.$executeRaw`UPDATE scheduled_runs SET last_run_at = now() - interval '30 minutes'`;
    expect(await runTick(parts)).toMatchObject({ noShows: 0 });
    expect(await row(reservationId)).toMatchObject({ status: 'executing' });
  });
});

describe('a no-show', () => {
  it('loses the device after the time given, is billed for it, and told', async () => {
    await bench.addDevices(1);
    const { reservationId } = await booked(bench.store, { inMinutes: 5 });
    await letPass(bench.store, 7);
    await runTick(parts);
    await letPass(bench.store, 9);
    expect(await runTick(parts)).toMatchObject({ noShows: 0 });
    await letPass(bench.store, 2);
    expect(await runTick(parts)).toMatchObject({ noShows: 1 });
    expect(await row(reservationId)).toMatchObject({ status: 'failed', failureCode: 'NO_SHOW', failureReason: 'no_show' });
    expect(await leaseOf(reservationId)).toMatchObject({ status: 'released', endReason: 'no_show' });
    expect(await told('scheduler.reservation.failed')).toMatchObject([{ reservationId, code: 'NO_SHOW' }]);
    expect(await bench.store.prisma.ledgerEntry.findFirst()).toMatchObject({ endReason: 'no_show' });
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  it('is nobody who touched the device: by a look at its address, a heartbeat or an extension', async () => {
    await bench.addDevices(3);
    const ids: string[] = [];
    for (let index = 0; index < 3; index += 1) ids.push((await booked(bench.store, { inMinutes: 5 })).reservationId);
    await letPass(bench.store, 7);
    await runTick(parts);
    const [looked = '', beat = '', extended = ''] = await Promise.all(ids.map(async (id) => (await leaseOf(id)).id));
    await noteShown(bench.store, looked);
    await bench.store.prisma.allocation.update({ where: { id: beat }, data: { lastHeartbeatAt: new Date() } });
    await bench.store.prisma.allocation.update({ where: { id: extended }, data: { lastExtendedAt: new Date() } });
    await letPass(bench.store, 12);
    expect(await runTick(parts)).toMatchObject({ noShows: 0 });
  });

  it('is one whom only a service has looked at, and nobody who looks in person', async () => {
    await bench.addDevices(3);
    const api = await bench.start();
    const idOf = new Map<string, string>();
    for (const userId of ['ann', 'bob', 'cyd']) idOf.set(userId, (await booked(bench.store, { userId, inMinutes: 5 })).reservationId);
    await letPass(bench.store, 7);
    await runTick(parts);
    const look = async (as: Record<string, string>, userId: string, at: 'reservation' | 'allocation') => {
      const id = idOf.get(userId) ?? '';
      const path = at === 'reservation' ? `reservations/${id}` : `allocations/${(await leaseOf(id)).id}`;
      expect(await api.call('GET', `/scheduler/${path}`, { as })).toMatchObject({ status: 200, body: { data: { adbHost: '10.9.8.7' } } });
    };
    const service = await asService();
    for (const userId of idOf.keys()) for (const at of ['reservation', 'allocation'] as const) await look(service, userId, at);
    await look(await asUser('ann'), 'ann', 'reservation');
    await look(await asUser('bob'), 'bob', 'allocation');
    await letPass(bench.store, 12);
    expect(await runTick(parts)).toMatchObject({ noShows: 1 });
    const failed = await bench.store.prisma.reservation.findMany({ where: { failureCode: 'NO_SHOW' } });
    expect(failed).toMatchObject([{ userId: 'cyd' }]);
    await api.close();
  });

  it('does not exist when it is switched off', async () => {
    await bench.addDevices(1);
    await booked(bench.store, { inMinutes: 5 });
    const off = reservationParts(bench, { noShowSeconds: 0 });
    await letPass(bench.store, 7);
    await runTick(off);
    await letPass(bench.store, 50);
    expect(await runTick(off)).toMatchObject({ noShows: 0 });
  });
});

describe('a reminder', () => {
  it('is sent once, however many look at once', async () => {
    await bench.addDevices(20);
    for (let index = 0; index < 20; index += 1) await booked(bench.store, { inMinutes: 20 });
    expect(await runTick(parts)).toMatchObject({ reminded: 0 });
    await letPass(bench.store, 8);
    const looks = await Promise.all([1, 2, 3, 4].map(() => runTick(parts)));
    expect(looks.reduce((sum, { reminded }) => sum + reminded, 0)).toBe(20);
    expect(await told('scheduler.reservation.reminder')).toHaveLength(20);
    expect(new Set((await told('scheduler.reservation.reminder')).map(({ reservationId }) => reservationId)).size).toBe(20);
    expect((await told('scheduler.reservation.reminder'))[0]).toMatchObject({ minutesLeft: expect.any(Number) });
  });
});

describe('a start at the same moment as the end of the lease before', () => {
  it('never overlaps with it, whoever is first, in many rounds', async () => {
    const [deviceId = ''] = await bench.addDevices(1);
    // The same in 500 rounds without the tick around it: races.test.ts.
    const rounds = 20;
    for (let round = 0; round < rounds; round += 1) {
      await bench.store.transaction((tx) => tx.$executeRaw`TRUNCATE allocations, requests, reservations, ledger, outbox CASCADE`);
      await bench.store.prisma.$executeRaw`UPDATE devices SET allocation_id = NULL, fence = 0`;
      await booked(bench.store, { userId: 'ann', wantedDeviceId: deviceId, inMinutes: 1, durationMinutes: 15 });
      await booked(bench.store, { userId: 'bob', wantedDeviceId: deviceId, inMinutes: 16, durationMinutes: 15 });
      await letPass(bench.store, 2);
      await runTick(parts);
      await letPass(bench.store, 15);
      const sweep = () => expireDue(bench.store, 10, { cleaningSeconds: 0 });
      await Promise.all(round % 2 === 0 ? [sweep(), runTick(parts), runTick(parts)] : [runTick(parts), sweep(), runTick(parts)]);
      await bench.store.prisma.$executeRaw`UPDATE reservations SET next_attempt_at = now()`;
      await runTick(parts);
      const leases = await bench.store.prisma.allocation.findMany({ orderBy: { fence: 'asc' } });
      expect(leases.map(({ userId, endReason }) => [userId, endReason])).toEqual([
        ['ann', 'reservation_ended'],
        ['bob', null],
      ]);
      expect(leases[0]?.endedAt).toEqual(leases[0]?.expiresAt);
    }
    expect(await readInvariants(bench.store)).toEqual([]);
  });
});

describe('one that cannot be dealt with', () => {
  it('is seen in its row, and the others begin', async () => {
    await bench.addDevices(5);
    const all = [];
    for (let index = 0; index < 5; index += 1) all.push(await booked(bench.store, { inMinutes: 5 + index }));
    const poison = all[1]?.reservationId ?? '';
    // Somebody has decided a request of the id that this one will have.
    await bench.store.prisma.request.create({
      data: {
        id: requestIdOf(poison),
        caller: 'x',
        source: 'http',
        userId: 'x',
        tier: 'free',
        status: 'cancelled',
        asked: {},
        decidedAt: new Date(),
      },
    });
    await letPass(bench.store, 11);
    expect(await runTick(parts)).toMatchObject({ started: 4 });
    expect(await row(poison)).toMatchObject({ status: 'confirmed', attempts: 1, lastError: expect.stringContaining('settled') });
    await letPass(bench.store, 70);
    expect(await runTick(parts)).toMatchObject({ expired: 1 });
    expect(await row(poison)).toMatchObject({ status: 'expired' });
  });

  it('does not hold up the batch it is in', async () => {
    await bench.addDevices(3);
    const all = [];
    for (let index = 0; index < 3; index += 1) all.push(await booked(bench.store, { inMinutes: 20 }));
    await bench.store.prisma.$executeRawUnsafe(`
      CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = '${all[1]?.reservationId}' THEN RAISE EXCEPTION 'poisoned'; END IF; RETURN NEW; END $$`);
    await bench.store.prisma
      .$executeRaw`CREATE TRIGGER poison BEFORE UPDATE OF reminded_at ON reservations FOR EACH ROW EXECUTE FUNCTION poison()`;
    try {
      await letPass(bench.store, 10);
      expect(await runTick(parts)).toMatchObject({ reminded: 2 });
      expect(await row(all[1]?.reservationId ?? '')).toMatchObject({
        attempts: 1,
        remindedAt: null,
        lastError: expect.stringContaining('poisoned'),
      });
    } finally {
      await bench.store.prisma.$executeRaw`DROP TRIGGER poison ON reservations`;
      await bench.store.prisma.$executeRaw`DROP FUNCTION poison`;
    }
  });
});

describe('the worker', () => {
  it('begins what is due by its schedule, with two of them at work, and keeps the schedule alive', async () => {
    await bench.addDevices(6);
    const redis = await openRedis('producer', redisAddress());
    const deps = { ...parts, redis, redisAddress: redisAddress(), schedules: RESERVATION_SCHEDULES, keepEveryMs: 50 };
    const workers = [await startReservations(deps), await startReservations(deps)];
    const queue = new Queue('reservations', { connection: redis, prefix: bench.prefix });
    try {
      for (let index = 0; index < 6; index += 1) await booked(bench.store, { inMinutes: 5 });
      await letPass(bench.store, 7);
      await eventually(async () => expect(await bench.store.prisma.reservation.count({ where: { status: 'executing' } })).toBe(6), 20_000);
      expect(await told('scheduler.reservation.executed')).toHaveLength(6);
      expect(workers.every((worker) => worker.healthy())).toBe(true);
      await queue.removeJobScheduler('reservations');
      await eventually(async () =>
        expect((await queue.getJobSchedulers()).map(({ key }) => key).sort()).toEqual(['reservation-series', 'reservations']),
      );
    } finally {
      await queue.close();
      for (const worker of workers) await worker.close();
      redis.disconnect();
    }
  });
});

describe('plain SQL', () => {
  const overlapping = (deviceId: string, from: string, to: string) => bench.store.prisma.$executeRaw`
    INSERT INTO allocations (id, request_id, device_id, device_name, user_id, tier, fence, strategy, duration_minutes, cpu_cores, memory_mb, storage_mb, allocated_at, expires_at)
    VALUES (${randomUUID()}::uuid, ${randomUUID()}::uuid, ${deviceId}::uuid, 'd', 'eve', 'free', 9, 's', 60, 1, 1, 1, now() + ${from}::interval, now() + ${to}::interval)`;

  it('cannot put a lease into a reservation, nor stretch one into it, nor a reservation over a lease', async () => {
    const [deviceId = ''] = await bench.addDevices(1);
    const { startsAt } = await booked(bench.store, { inMinutes: 60 });
    await expect(overlapping(deviceId, '0 minutes', '90 minutes')).rejects.toThrow('may not reach into a reservation');
    await overlapping(deviceId, '0 minutes', '30 minutes');
    await expect(bench.store.prisma.$executeRaw`UPDATE allocations SET expires_at = now() + interval '90 minutes'`).rejects.toThrow(
      'may not reach into a reservation',
    );
    await bench.store.prisma.$executeRaw`UPDATE allocations SET expires_at = ${startsAt}::timestamptz`;
    await expect(bench.store.prisma.$executeRaw`UPDATE reservations SET starts_at = now() + interval '10 minutes'`).rejects.toThrow(
      'may not begin before the lease',
    );
  });

  it('of a reservation over another is refused, and the booking next to it goes on', async () => {
    await bench.addDevices(1);
    const first = await booked(bench.store, { inMinutes: 60 });
    expect((await bookDirectly(bench.store, { inMinutes: 90 })).status).toBe('refused');
    expect((await bookDirectly(bench.store, { inMinutes: 120 })).status).toBe('reserved');
    expect(first.status).toBe('confirmed');
  });
});

describe('the client', () => {
  it('books for a user, once or as a series, and says what is wrong', async () => {
    await bench.addDevices(2);
    const redis = await openRedis('producer', redisAddress());
    const worker = await startReservations({ ...parts, redis, redisAddress: redisAddress(), schedules: [], keepEveryMs: 60_000 });
    const client = new SchedulerClient({ redis: { url: redisAddress().url }, service: 'shop', prefix: bench.prefix });
    const reservationId = randomUUID();
    const reservedStartTime = new Date(Date.now() + 3_600_000).toISOString();
    try {
      const asked = { reservationId, reservedStartTime, durationMinutes: 30 };
      await bench.store.prisma.user.create({ data: { id: 'ann', tenantId: 'acme' } });
      const first = await client.reserve('ann', asked, { timeoutMs: 20_000 });
      expect(first).toMatchObject({ status: 'reserved', reservationId, reservedStartTime });
      expect(await bench.store.prisma.reservation.findUnique({ where: { id: reservationId } })).toMatchObject({ tenantId: 'acme' });
      expect(await client.reserve('ann', asked, { timeoutMs: 20_000 })).toEqual(first);
      expect(await client.reserve('ann', { reservedStartTime, durationMinutes: 30 }, { timeoutMs: 20_000 })).toMatchObject({
        status: 'refused',
        code: 'RESERVATION_CONFLICT',
      });
      const recurrence = { frequency: 'daily', count: 3, timeZone: 'Asia/Shanghai' } as const;
      const series = await client.reserve('bob', { reservedStartTime, durationMinutes: 30, recurrence }, { timeoutMs: 20_000 });
      expect(series).toMatchObject({ status: 'reserved', reservations: [{}, {}, {}], missed: [] });
      expect(await client.reserve('cyd', { reservedStartTime: 'soon', durationMinutes: 5 })).toMatchObject({
        status: 'refused',
        code: 'VALIDATION_FAILED',
        details: { problems: [expect.stringContaining('reservedStartTime'), expect.stringContaining('durationMinutes')] },
      });
      expect(await bench.store.prisma.reservation.count()).toBe(4);
    } finally {
      await client.close();
      await worker.close();
      redis.disconnect();
    }
  });
});
