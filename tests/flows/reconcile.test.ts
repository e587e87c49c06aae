import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { createCapacitySignal } from '../../queues/capacity-signal.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { repairUsage } from '../../shared/store/repair-usage.ts';
import { reconcile } from '../../workers/maintenance/reconcile.ts';
import { type ApiBench, openApiBench } from '../support/api-bench.ts';
import { readInvariants } from '../support/invariants.ts';
import { type MaintenanceBench, openMaintenanceBench } from '../support/maintenance-bench.ts';
import { metricValue } from '../support/queue-bench.ts';
import { booked, letPass, reservationParts, runTick } from '../support/reservation-bench.ts';

let bench: ApiBench;
let maintenance: MaintenanceBench;
beforeAll(async () => {
  bench = await openApiBench();
  maintenance = await openMaintenanceBench(bench);
});
afterAll(async () => {
  await maintenance.close();
  await bench.close();
});
beforeEach(async () => {
  await bench.store.transaction(
    (tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, reservations, users, ledger, outbox CASCADE`,
  );
});

const db = () => bench.store.prisma;

/** What waits in a queue nobody works at, taken out of it. */
// biome-ignore lint/suspicious/noExplicitAny: payloads of several queues
async function takeJobs(name: string): Promise<any[]> {
  const queue = new Queue(name, { connection: bench.redis, prefix: bench.prefix });
  const jobs = await queue.getJobs(['wait']);
  await queue.obliterate({ force: true });
  await queue.close();
  return jobs.map(({ data }) => data);
}

/** A look of the reconciler, what it counted, and which devices it told who waits of. */
async function look() {
  const metrics = createMetrics('test');
  const logger = createLogger('test', 'silent');
  const { store, redis, prefix } = bench;
  const options = { redis, prefix, logger, waits: () => Promise.resolve(true), unpark: () => Promise.resolve([]) };
  const capacity = createCapacitySignal(options);
  const parts = { store, redis, prefix, capacity, producer: maintenance.producer, metrics, logger, graceSeconds: 0 };
  const result = await reconcile(parts, new AbortController().signal);
  await capacity.close();
  return {
    result,
    told: (await takeJobs('waitlist')).flatMap(({ devices }) => devices),
    counted: (repair: string) => metricValue(metrics, 'scheduler_reconciled_total', { repair }),
  };
}

/** Reservations that have begun, so many. @returns their ids and those of their allocations */
async function running(count: number) {
  await bench.addDevices(count);
  for (let made = 0; made < count; made += 1) await booked(bench.store, { inMinutes: 10 });
  await letPass(bench.store, 20);
  expect(await runTick(reservationParts(bench))).toMatchObject({ started: count });
  const rows = await db().reservation.findMany({ orderBy: { id: 'asc' } });
  return rows.map(({ id, allocationId }) => ({ id, allocationId: allocationId ?? '' }));
}

describe('a reservation that runs without a live allocation', () => {
  test('becomes what the end of its allocation would have made of it; one whose allocation lives goes on', async () => {
    const [over, taken, gone, lives] = await running(4);
    await endByHand(over?.allocationId, 'expired', 'reservation_ended');
    await endByHand(taken?.allocationId, 'released', 'device_failed');
    await db().$executeRaw`DELETE FROM allocations WHERE id = ${gone?.allocationId}::uuid`;
    const first = await look();
    expect(first.result).toMatchObject({ reservationsClosed: 3 });
    const devices = (await db().reservation.findMany({ where: { status: { not: 'executing' } } })).map(({ deviceId }) => deviceId);
    expect(first.told).toEqual(expect.arrayContaining(devices));
    expect(await first.counted('reservation-closed')).toBe(3);
    const after = await db().reservation.findMany({ orderBy: { id: 'asc' } });
    expect(after.map(({ status, failureCode, failureReason }) => [status, failureCode, failureReason])).toEqual([
      ['completed', null, null],
      ['failed', 'NO_DEVICE_AVAILABLE', 'device_failed'],
      ['failed', 'INTERNAL', 'its allocation is not there'],
      ['executing', null, null],
    ]);
    expect(lives?.id).toBe(after[3]?.id);
    const told = await db().outboxEntry.findMany({ where: { topic: 'scheduler.reservation.failed' }, select: { key: true } });
    expect(told.map(({ key }) => key).toSorted()).toEqual([taken?.id, gone?.id].toSorted());
    expect((await look()).result).toMatchObject({ reservationsClosed: 0 });
  });

  async function endByHand(id: string | undefined, status: string, endReason: string): Promise<void> {
    await db()
      .$executeRaw`UPDATE allocations SET status = ${status}, ended_at = greatest(now(), allocated_at), end_reason = ${endReason} WHERE id = ${id}::uuid`;
  }
});

describe('use that was not reported', () => {
  test('is reported, once, in the words it should have been reported in, a part at a time', async () => {
    const [live, ended, whole] = await running(3);
    const wordsOf = (key = '') => db().outboxEntry.findMany({ where: { channel: 'usage', key }, select: { topic: true, payload: true } });
    const before = await wordsOf(live?.allocationId);
    await db().$executeRaw`DELETE FROM outbox WHERE channel = 'usage' AND key = ${live?.allocationId}`;
    await db().$executeRaw`
      UPDATE allocations SET status = 'released', ended_at = greatest(now(), allocated_at), end_reason = 'released' WHERE id = ${ended?.allocationId}::uuid`;
    const repaired: string[] = [];
    let checkedTo: string | null = null;
    do {
      const part = await repairUsage(bench.store, checkedTo, 1);
      repaired.push(...part.repaired);
      checkedTo = part.checkedTo;
    } while (checkedTo !== null);
    expect(repaired.toSorted()).toEqual([live?.allocationId, ended?.allocationId].toSorted());
    expect(await wordsOf(live?.allocationId)).toEqual(before);
    expect((await wordsOf(ended?.allocationId)).map(({ topic }) => topic)).toEqual(['increment', 'decrement']);
    expect(await wordsOf(whole?.allocationId)).toHaveLength(1);
  });

  test('is found by the reconciler, which counts it and finds nothing the next time', async () => {
    const [one] = await running(1);
    await db().$executeRaw`DELETE FROM outbox WHERE channel = 'usage'`;
    const { result, counted } = await look();
    expect(result).toMatchObject({ usesReported: 1, usageCheckedTo: null, reservationsClosed: 0, holdsRepaired: 0 });
    expect(await counted('use-reported')).toBe(1);
    expect(await db().outboxEntry.count({ where: { channel: 'usage', key: one?.allocationId ?? '' } })).toBe(1);
    expect((await look()).result).toMatchObject({ usesReported: 0 });
    expect(await readInvariants(bench.store)).toEqual([]);
  });
});

describe('a device that is held although it says nothing of it', () => {
  test('or says it although nobody holds it is put right, and who waits is told', async () => {
    const [id = ''] = await bench.addDevices(1);
    await db().device.update({ where: { id }, data: { allocationId: randomUUID() } });
    const { result, told } = await look();
    expect(result).toMatchObject({ holdsRepaired: 1 });
    expect(told).toEqual([id]);
    expect((await look()).told).toEqual([]);
  });
});

describe('a device that is out of service and still held', () => {
  test.each(['stopped', 'error', 'maintenance', 'deleted'])('is left to whoever ends its lease, when it is %s', async (status) => {
    const [one] = await running(1);
    const { deviceId } = await db().allocation.findUniqueOrThrow({ where: { id: one?.allocationId ?? '' } });
    expect((await look()).result).toMatchObject({ devicesSettled: 0 });
    await db().device.update({ where: { id: deviceId }, data: { status } });
    const { result, counted } = await look();
    expect(result).toMatchObject({ devicesSettled: 1 });
    expect(await counted('device-settled')).toBe(1);
    expect((await takeJobs('event')).map(({ action }) => action)).toEqual([{ action: 'settle-device', deviceId }]);
  });

  test('is not one that is merely paused', async () => {
    await running(1);
    await db().device.updateMany({ data: { status: 'paused' } });
    expect((await look()).result).toMatchObject({ devicesSettled: 0 });
  });
});
