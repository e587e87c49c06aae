import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { EVENTS } from '../../shared/events.ts';
import { notice } from '../../shared/notices/notice.ts';
import { failBills } from '../../shared/store/ledger.ts';
import { writeNotices } from '../../shared/store/notices.ts';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { outboxStates, writeOutbox, writeOwed } from '../support/outbox-rows.ts';

let bench: ApiBench;
let api: ApiServer;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction(
    (tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, inbox, idempotency_keys CASCADE`,
  );
});

/** Gives up so many bills the way deliveries do. @returns their allocations */
async function deadBills(count: number): Promise<string[]> {
  const ids = await writeOwed(bench.store, count);
  await bench.store.prisma.ledgerEntry.updateMany({ data: { attempts: 10 } });
  const failures = ids.map((id) => ({ id, reason: 'billing-service answered 400', answered: true }));
  expect((await failBills(bench.store, failures, { baseMs: 1, maxMs: 1 }, 10)).toSorted()).toEqual(ids.toSorted());
  return ids;
}

/** A dead report of use, a dead notice and a dead event, besides rows that are alive. */
async function deadRows(allocationId: string): Promise<void> {
  await writeOutbox(bench.store, [
    { channel: 'usage', topic: 'increment', key: allocationId, payload: { userId: 'ann' } },
    { topic: 'device.allocated', key: allocationId, payload: { userId: 'ann', allocationId } },
  ]);
  await writeNotices(bench.store.prisma, [notice('queue_joined', { userId: 'bob', queueId: 'e1', maxWaitMinutes: 5 })]);
  await bench.store.prisma.outboxEntry.updateMany({
    where: { topic: { not: 'billing.usage_report_failed' } },
    data: { status: 'dead', attempts: 7, lastError: 'no answer' },
  });
  await writeOutbox(bench.store, [{ key: randomUUID() }]);
}

const get = async (query = '', as?: Record<string, string>) =>
  (await api.call('GET', `/scheduler/dead-letters${query}`, { as: as ?? (await asService()) })).body.data;
const post = async (path: string, body?: unknown, as?: Record<string, string>) =>
  api.call('POST', `/scheduler/dead-letters/${path}`, { as: as ?? (await asService()), body });

describe('dead letters', () => {
  test('are listed whatever they were, with whose they are and why', async () => {
    const [allocationId = ''] = await deadBills(1);
    await deadRows(allocationId);
    const { items, total, nextCursor } = await get();
    expect([total, nextCursor]).toEqual([4, null]);
    expect(items.find(({ kind }: { kind: string }) => kind === 'billing')).toEqual({
      id: allocationId,
      kind: 'billing',
      allocationId,
      userId: 'ann',
      attempts: 10,
      lastError: 'billing-service answered 400',
      reason: 'released',
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    const rest = items.filter(({ kind }: { kind: string }) => kind !== 'billing');
    expect(rest.map(({ kind, allocationId: of, userId, reason }: Record<string, string>) => [kind, of, userId, reason]).toSorted()).toEqual(
      [
        ['event', allocationId, 'ann', 'device.allocated'],
        ['notification', null, 'bob', 'queue_joined'],
        ['usage', allocationId, 'ann', 'increment'],
      ],
    );
    expect((await get('?kind=usage')).items).toHaveLength(1);
    expect((await api.call('GET', '/scheduler/dead-letters?kind=love', { as: await asService() })).status).toBe(400);
  });

  test('come page by page, the newest first, none twice', async () => {
    const ids = await deadBills(7);
    const seen: string[] = [];
    for (let cursor = ''; ; ) {
      const { items, total, nextCursor } = await get(`?limit=3${cursor}`);
      expect(total).toBe(7);
      seen.push(...items.map(({ id }: { id: string }) => id));
      if (nextCursor === null) break;
      cursor = `&cursor=${nextCursor}`;
    }
    expect(seen.toSorted()).toEqual(ids.toSorted());
  });

  test('are tried again one by one, with all their attempts', async () => {
    const [first = '', second = ''] = await deadBills(2);
    expect((await post(`${first}/retry`)).body.data).toEqual({ id: first, kind: 'billing' });
    expect(await bench.store.prisma.ledgerEntry.findUniqueOrThrow({ where: { allocationId: first } })).toMatchObject({
      status: 'owed',
      attempts: 0,
      handedOutAt: null,
    });
    expect((await get()).items.map(({ id }: { id: string }) => id)).toEqual([second]);
    expect((await post(`${first}/retry`)).body).toMatchObject({ statusCode: 404, code: 'DEAD_LETTER_NOT_FOUND' });
    expect((await post(`${randomUUID()}/retry`)).status).toBe(404);
    expect((await post('4711/retry')).status).toBe(400);
  });

  test('are tried again by kind and number, the oldest first', async () => {
    const [allocationId = ''] = await deadBills(3);
    await deadRows(allocationId);
    expect((await post('retry', { kind: 'notification' })).body.data).toMatchObject({ count: 1 });
    expect(await outboxStates(bench.store, 'notice')).toEqual({ pending: 1 });
    expect((await post('retry', { limit: 2 })).body.data).toMatchObject({ count: 2 });
    expect((await post('retry')).body.data).toMatchObject({ count: 3 });
    expect((await post('retry', {})).body.data).toEqual({ count: 0, ids: [] });
    expect((await get()).total).toBe(0);
    expect((await post('retry', { limit: 0 })).status).toBe(400);
    expect((await post('retry', { kind: 'love' })).status).toBe(400);
  });

  test('of another tenant are out of reach of an admin', async () => {
    const [mine = '', other = ''] = await deadBills(2);
    await bench.store.prisma.ledgerEntry.update({ where: { allocationId: mine }, data: { tenantId: 't1' } });
    await bench.store.prisma.ledgerEntry.update({ where: { allocationId: other }, data: { tenantId: 't2' } });
    const admin = await asUser('eve', { roles: ['admin'], tenantId: 't1' });
    expect((await get('', admin)).items.map(({ id }: { id: string }) => id)).toEqual([mine]);
    expect((await post(`${other}/retry`, undefined, admin)).status).toBe(404);
    expect((await post('retry', {}, admin)).body.data).toEqual({ count: 1, ids: [mine] });
    expect((await api.call('GET', '/scheduler/dead-letters', { as: await asUser('ann') })).status).toBe(403);
  });

  test('of billing are told as an event, whole, when they become one', async () => {
    const [allocationId = ''] = await deadBills(1);
    const [event, ...others] = await bench.store.prisma.outboxEntry.findMany({ where: { topic: 'billing.usage_report_failed' } });
    expect(others).toEqual([]);
    expect(EVENTS['billing.usage_report_failed'].parse(event?.payload)).toMatchObject({
      allocationId,
      userId: 'ann',
      usage: { durationSeconds: 600, cpuCores: 2, memoryMB: 2048, storageMB: 16_384 },
      failureReason: 'billing-service answered 400',
      retryCount: 10,
    });
    expect(event).toMatchObject({ channel: 'event', key: allocationId, status: 'pending' });
  });
});
