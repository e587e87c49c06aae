import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { bookSeries, extendSeries } from '../../shared/store/book-series.ts';
import { cancelSeries } from '../../shared/store/change-reservation.ts';
import type { Series } from '../../shared/store/reservation-series.ts';
import { extendAllSeries } from '../../workers/reservations/extend-series.ts';
import { type ApiBench, type ApiServer, asService, openApiBench } from '../support/api-bench.ts';
import { contest, playRounds } from '../support/race.ts';
import { reservationParts } from '../support/reservation-bench.ts';

let bench: ApiBench;
let api: ApiServer;
let service: Record<string, string>;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  service = await asService();
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction(
    (tx) => tx.$executeRaw`TRUNCATE devices, users, outbox, reservations, reservation_series, idempotency_keys CASCADE`,
  );
});

const DAY = 86_400_000;
const tomorrow = () => new Date(Math.ceil(Date.now() / DAY) * DAY + 10 * 3_600_000);
const days = (from: Date, count: number) => new Date(from.getTime() + count * DAY).toISOString();
const book = (userId: string, wish: object) =>
  api.call('POST', '/scheduler/reservations', { as: service, body: { userId, durationMinutes: 60, ...wish } });
const recurrence = (said: object) => ({ frequency: 'daily', timeZone: 'UTC', ...said });
const extend = (horizonDays: number) =>
  extendAllSeries({ ...reservationParts(bench), rules: { gapSeconds: 0, horizonDays } }, new AbortController().signal);

describe('a series', () => {
  it('is booked up to the horizon, and carried on as it moves', async () => {
    await bench.addDevices(1);
    const first = tomorrow();
    const answer = await book('ann', { reservedStartTime: first.toISOString(), recurrence: recurrence({ count: 40 }) });
    expect(answer.status).toBe(201);
    const { data } = answer.body;
    expect(data.missed).toEqual([]);
    expect(data.reservations.length).toBeGreaterThanOrEqual(28);
    expect(data.reservations[1]).toMatchObject({ reservedStartTime: days(first, 1), seriesId: data.seriesId, status: 'confirmed' });
    expect(data.nextStartTime).toBe(days(first, data.reservations.length));
    expect(await extend(30)).toMatchObject({ booked: 0 });
    expect(await extend(60)).toMatchObject({ booked: 40 - data.reservations.length, missed: 0 });
    expect(await extend(90)).toMatchObject({ booked: 0, missed: 0 });
    expect(await bench.store.prisma.reservation.count({ where: { seriesId: data.seriesId } })).toBe(40);
    expect(await bench.store.prisma.reservationSeries.findFirst()).toMatchObject({ status: 'ended' });
  });

  it('names the occurrences that cannot be had, keeps them as failed, and books the others', async () => {
    await bench.addDevices(1);
    const first = tomorrow();
    await book('bob', { reservedStartTime: days(first, 1) });
    const { body } = await book('ann', { reservedStartTime: first.toISOString(), recurrence: recurrence({ count: 3 }) });
    expect(body.data.reservations).toHaveLength(2);
    expect(body.data.missed).toMatchObject([
      { reservedStartTime: days(first, 1), code: 'NO_CAPACITY', details: { freeSlots: expect.any(Array) } },
    ]);
    const failed = await bench.store.prisma.reservation.findMany({ where: { status: 'failed' } });
    expect(failed).toMatchObject([{ failureCode: 'NO_CAPACITY', seriesIndex: 1, deviceId: null }]);
    expect(await bench.store.prisma.outboxEntry.count({ where: { topic: 'scheduler.reservation.failed' } })).toBe(1);
  });

  it('of which nothing can be had is refused like a single one, and leaves nothing', async () => {
    const { body } = await book('ann', { reservedStartTime: tomorrow().toISOString(), recurrence: recurrence({ count: 3 }) });
    expect(body).toMatchObject({ statusCode: 409, code: 'NO_MATCHING_DEVICE' });
    expect([await bench.store.prisma.reservation.count(), await bench.store.prisma.reservationSeries.count()]).toEqual([0, 0]);
  });

  it('that begins in the past is not valid and leaves nothing, though later ones could be had', async () => {
    await bench.addDevices(1);
    const { body } = await book('ann', { reservedStartTime: days(tomorrow(), -2), recurrence: recurrence({ count: 5 }) });
    expect(body).toMatchObject({ statusCode: 400, code: 'VALIDATION_FAILED', details: { field: 'reservedStartTime' } });
    expect([await bench.store.prisma.reservation.count(), await bench.store.prisma.reservationSeries.count()]).toEqual([0, 0]);
    expect(await bench.store.prisma.outboxEntry.count()).toBe(0);
  });

  it('asked for again after its first occurrence has begun is the same one', async () => {
    await bench.addDevices(1);
    const { data } = (await book('ann', { reservedStartTime: tomorrow().toISOString(), recurrence: recurrence({ count: 3 }) })).body;
    const series: Series = {
      seriesId: data.seriesId,
      userId: 'ann',
      tenantId: null,
      tier: 'standard',
      asked: { durationMinutes: 60, remindBeforeMinutes: 15 },
      recurrence: { frequency: 'daily', interval: 1, count: 3, timeZone: 'UTC' },
      firstStartsAt: new Date(Date.now() - 1_000),
      nextIndex: 0,
    };
    const again = await bookSeries(bench.store, series, null, { gapSeconds: 0, horizonDays: 30 });
    expect(again).toMatchObject({ status: 'reserved', missed: [] });
  });

  it('is cancelled in one occurrence or in all that have not begun', async () => {
    await bench.addDevices(1);
    const { data } = (await book('ann', { reservedStartTime: tomorrow().toISOString(), recurrence: recurrence({ count: 40 }) })).body;
    const [one, two] = data.reservations;
    const cancel = (id: string, body: object) => api.call('POST', `/scheduler/reservations/${id}/cancel`, { as: service, body });
    expect((await cancel(one.id, {})).body.data).toMatchObject({ id: one.id, status: 'cancelled' });
    expect(await bench.store.prisma.reservation.count({ where: { status: 'confirmed' } })).toBe(data.reservations.length - 1);
    const all = await cancel(two.id, { series: true, reason: 'moving' });
    expect(all.body.data.cancelledIds).toHaveLength(data.reservations.length - 1);
    expect(await bench.store.prisma.reservation.count({ where: { status: 'confirmed' } })).toBe(0);
    expect(await extend(90)).toMatchObject({ booked: 0, missed: 0 });
  });

  it('that is cancelled while it is carried on has nothing confirmed afterwards, in 24 rounds', async () => {
    await bench.addDevices(8);
    const rules = { gapSeconds: 0, horizonDays: 30 };
    const firstStartsAt = tomorrow();
    const horizon = new Date(firstStartsAt.getTime() + 5 * DAY);
    await playRounds(24, 8, async (round) => {
      const seriesId = randomUUID();
      const asked = { durationMinutes: 60, remindBeforeMinutes: 15 };
      const rhythm = { frequency: 'daily', interval: 1, count: 40, timeZone: 'UTC' } as const;
      const who = { userId: `user-${round}`, tenantId: null, tier: 'standard' } as const;
      const series = { seriesId, ...who, asked, recurrence: rhythm, firstStartsAt, nextIndex: 0 };
      const outcome = await bookSeries(bench.store, series, null, { gapSeconds: 0, horizonDays: 1 });
      if (outcome.status !== 'reserved' || outcome.booked[0] === undefined) throw new Error(`the series of round ${round} was refused`);
      const { booked } = outcome;
      const [extended, cancelled] = await contest(
        bench.store,
        round,
        (store) => extendSeries(store, { ...series, nextIndex: booked.length }, horizon, rules),
        (store) => cancelSeries(store, booked[0]?.reservationId ?? '', { kind: 'all' }, null),
      );
      expect(cancelled).toMatchObject({ status: 'cancelled' });
      expect(extended.missed).toBe(0);
      const rows = await bench.store.prisma.reservation.findMany({ where: { seriesId } });
      expect(new Set(rows.map(({ status }) => status))).toEqual(new Set(['cancelled']));
    });
  });

  it('over the change of the clocks starts at the same time of the day', async () => {
    await bench.addDevices(1);
    // The next change of the clocks in Berlin: the last Sunday of March or October.
    const change = [0, 1]
      .flatMap((year) => [2, 9].map((month) => new Date(Date.UTC(new Date().getUTCFullYear() + year, month, 31))))
      .map((last) => new Date(last.getTime() - last.getUTCDay() * DAY))
      .find((sunday) => sunday.getTime() > Date.now() + 3 * DAY);
    const first = new Date((change?.getTime() ?? 0) - DAY + 12 * 3_600_000);
    await book('ann', { reservedStartTime: first.toISOString(), recurrence: recurrence({ count: 3, timeZone: 'Europe/Berlin' }) });
    await extend(366);
    const rows = await bench.store.prisma.reservation.findMany({ orderBy: { startsAt: 'asc' } });
    const clock = rows.map(({ startsAt }) => startsAt.toLocaleTimeString('en-GB', { timeZone: 'Europe/Berlin' }));
    expect(clock).toHaveLength(3);
    expect(new Set(clock).size).toBe(1);
    expect(new Set(rows.map(({ startsAt }) => startsAt.getUTCHours())).size).toBe(2);
  });

  it.each([
    // The clock shows 03:30 where it skips 02:30; of two 02:30 it is the first.
    { season: 'spring', month: 2, utc: ['01:30', '01:30', '00:30'], shown: ['02:30', '03:30', '02:30'] },
    { season: 'autumn', month: 9, utc: ['00:30', '00:30', '01:30'], shown: ['02:30', '02:30', '02:30'] },
  ])('at half past two in the night of Berlin is booked through the change of $season', async ({ month, utc, shown }) => {
    await bench.addDevices(1);
    const year = new Date().getUTCFullYear();
    const change = [year, year + 1]
      .map((of) => new Date(Date.UTC(of, month, 31)))
      .map((last) => new Date(last.getTime() - last.getUTCDay() * DAY))
      .find((sunday) => sunday.getTime() > Date.now() + 3 * DAY);
    const starts = utc.map((time, day) => `${days(change ?? new Date(0), day - 1).slice(0, 10)}T${time}:00.000Z`);
    const wish = { reservedStartTime: starts[0], recurrence: recurrence({ count: 3, timeZone: 'Europe/Berlin' }) };
    expect((await book('ann', wish)).status).toBe(201);
    await extend(400);
    const rows = await bench.store.prisma.reservation.findMany({ orderBy: { startsAt: 'asc' } });
    expect(rows.map(({ status, startsAt }) => [status, startsAt.toISOString()])).toEqual(starts.map((at) => ['confirmed', at]));
    const clock = { timeZone: 'Europe/Berlin', hour: '2-digit', minute: '2-digit' } as const;
    expect(rows.map(({ startsAt }) => startsAt.toLocaleTimeString('en-GB', clock))).toEqual(shown);
  });

  it('that is poisoned is seen in its row, and the others go on', async () => {
    await bench.addDevices(2);
    for (const userId of ['ann', 'bob'])
      await book(userId, { reservedStartTime: tomorrow().toISOString(), recurrence: recurrence({ count: 40 }) });
    await bench.store.prisma.reservationSeries.updateMany({ where: { userId: 'ann' }, data: { recurrence: { frequency: 'yearly' } } });
    expect((await extend(60)).booked).toBeGreaterThan(0);
    expect(await bench.store.prisma.reservationSeries.findFirst({ where: { userId: 'ann' } })).toMatchObject({
      attempts: 1,
      lastError: expect.stringContaining('frequency'),
    });
    expect(await bench.store.prisma.reservation.count({ where: { userId: 'bob' } })).toBe(40);
  });

  it('without an end, or in a zone that is none, is not valid', async () => {
    for (const wrong of [
      {},
      { count: 2, until: tomorrow().toISOString() },
      { count: 2, timeZone: 'Mars' },
      { count: 2, frequency: 'yearly' },
    ])
      expect((await book('ann', { reservedStartTime: tomorrow().toISOString(), recurrence: recurrence(wrong) })).status).toBe(400);
  });
});
