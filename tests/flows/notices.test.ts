import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { UnrecoverableError } from 'bullmq';
import { createLogger } from '../../shared/logger.ts';
import { notice } from '../../shared/notices/notice.ts';
import { closeRedis } from '../../shared/run/redis.ts';
import { claimNotices, writeNotices } from '../../shared/store/notices.ts';
import { deliverNotice } from '../../workers/delivery/deliver-notice.ts';
import { createNoticeLimit } from '../../workers/delivery/notice-limit.ts';
import { noticeHandlers } from '../../workers/delivery/start-notices.ts';
import { metricValue } from '../support/neighbours.ts';
import { type NoticeBench, openNoticeBench } from '../support/notice-bench.ts';
import { exampleRow, NOTICE_EXAMPLES } from '../support/notice-examples.ts';
import { openRedis } from '../support/open-redis.ts';
import { outboxStates } from '../support/outbox-rows.ts';
import { openRelayBench, type RelayBench } from '../support/relay-bench.ts';

const GOING_ON = new AbortController().signal;

let bench: RelayBench;
let notices: NoticeBench;

beforeEach(async () => {
  bench = await openRelayBench();
  notices = await openNoticeBench(bench.store, bench.prefix);
});

afterEach(async () => {
  await notices.close();
  await bench.close();
});

/** A notice to a user that they wait. */
function joined(userId: string, queueId: string) {
  return notice('queue_joined', { userId, queueId, maxWaitMinutes: 30 });
}

const sent = () => notices.service.control.sent();
const states = () => outboxStates(bench.store, 'notice');

/** Writes so many notices to a user. @returns outbox ids */
async function write(userId: string, count: number): Promise<string[]> {
  const rows = Array.from({ length: count }, (_, index) => joined(userId, `${userId}-${index}`));
  await writeNotices(bench.store.prisma, rows);
  return ids(userId);
}

async function ids(userId?: string): Promise<string[]> {
  const where = { channel: 'notice', ...(userId === undefined ? {} : { key: userId }) };
  const rows = await bench.store.prisma.outboxEntry.findMany({ where, orderBy: { id: 'asc' } });
  return rows.map(({ id }) => String(id));
}

async function rowsOf(userId: string) {
  return bench.store.prisma.outboxEntry.findMany({ where: { channel: 'notice', key: userId }, orderBy: { id: 'asc' } });
}

describe('a notice in the outbox', () => {
  test('is one, however often it is written', async () => {
    const rows = [joined('ann', 'e1'), joined('bob', 'e2'), joined('ann', 'e1')];
    expect(await bench.store.transaction((tx) => writeNotices(tx, rows))).toBe(2);
    expect(await writeNotices(bench.store.prisma, rows)).toBe(0);
    expect(await writeNotices(bench.store.prisma, [])).toBe(0);
    expect(await states()).toEqual({ pending: 2 });
  });
});

describe('a notice', () => {
  test.each(NOTICE_EXAMPLES.map((example) => [exampleRow(example).topic, example] as const))(
    'of type %s arrives whole',
    async (type, example) => {
      const row = exampleRow(example);
      await writeNotices(bench.store.prisma, [row]);
      expect(await deliverNotice(notices.deps(), await ids(), GOING_ON)).toMatchObject({ delivered: 1 });
      const [told] = sent();
      expect(told).toMatchObject({ userId: 'ann', type, data: example[1] });
      expect(told?.data['texts']).toMatchObject({
        zh: { title: told?.title, message: told?.message },
        en: { title: expect.stringMatching(/^[A-Z]/) },
      });
      const [call] = notices.service.control.calls.to('/send');
      expect(call?.path).toBe('/api/internal/notifications/send');
      expect(call?.headers['idempotency-key']).toBe(row.event_id);
    },
  );

  test('is sent again under the same key after a lost answer, and counts once', async () => {
    const all = await write('ann', 10);
    notices.service.control.fail({ kind: 'lost-answer' }, { times: 9 });
    expect(await deliverNotice(notices.deps({ tuning: { leastCalls: 100 } }), all, GOING_ON)).toMatchObject({ delivered: 1, failed: 9 });
    expect(await deliverNotice(notices.deps(), all, GOING_ON)).toMatchObject({ delivered: 9 });
    expect([sent().length, notices.service.control.calls.count()]).toEqual([10, 19]);
    expect(await metricValue(notices.metrics, 'scheduler_deliveries_total', { kind: 'notice', outcome: 'delivered' })).toBe(10);
  });

  test.each([
    ['answers 400', { kind: 'status', status: 400 }],
    ['answers 500', { kind: 'status', status: 500 }],
    ['answers something that is no JSON', { kind: 'malformed' }],
    ['breaks the connection', { kind: 'reset' }],
    ['never answers', { kind: 'hang' }],
  ] as const)('is a dead letter after its last attempt where the service %s each time', async (_what, fault) => {
    const all = await write('ann', 1);
    notices.service.control.fail(fault);
    const deps = notices.deps({ policy: { maxAttempts: 3 }, timeoutMs: 100 });
    for (const dead of [0, 0, 1]) expect(await deliverNotice(deps, all, GOING_ON)).toMatchObject({ failed: 1 - dead, dead });
    expect(await rowsOf('ann')).toMatchObject([{ status: 'dead', attempts: 3, lastError: expect.stringMatching(/./) }]);
    notices.service.control.heal();
    expect(await deliverNotice(deps, all, GOING_ON)).toMatchObject({ delivered: 0 });
    expect(await metricValue(notices.metrics, 'scheduler_deliveries_total', { kind: 'notice', outcome: 'dead' })).toBe(1);
  });

  test('waits as long as a service that answers 429 says', async () => {
    const all = await write('ann', 1);
    notices.service.control.fail({ kind: 'status', status: 429, retryAfter: 300 }, { times: 1 });
    await deliverNotice(notices.deps({ policy: { pause: { baseMs: 10, maxMs: 600_000 } } }), all, GOING_ON);
    const [row] = await rowsOf('ann');
    expect(row).toMatchObject({ status: 'pending', attempts: 1, lastError: expect.stringContaining('429') });
    expect((row?.nextAttemptAt.getTime() ?? 0) - Date.now()).toBeGreaterThan(290_000);
  });

  test('that cannot be put into words is a dead letter in the end, and holds up nobody', async () => {
    await write('ann', 1);
    const data = [
      { channel: 'notice', topic: 'unheard_of', key: 'bob', payload: {} },
      { channel: 'notice', topic: 'queue_joined', key: 'bob', payload: { userId: 'bob', data: {} } },
    ];
    await bench.store.prisma.outboxEntry.createMany({ data });
    const deps = notices.deps({ policy: { maxAttempts: 1 } });
    expect(await deliverNotice(deps, await ids(), GOING_ON)).toMatchObject({ delivered: 1, dead: 2 });
    expect((await rowsOf('bob')).map(({ lastError }) => lastError)).toEqual([
      'cannot be told: unheard_of is no notice of the catalogue',
      expect.stringContaining('queueId'),
    ]);
  });

  test('is taken by one of two workers, and again from one that is not heard of', async () => {
    const all = await write('ann', 50);
    const claims = await Promise.all([claimNotices(bench.store, all, 60_000), claimNotices(bench.store, all, 60_000)]);
    const taken = claims.flat().map(({ id }) => id);
    expect(taken.toSorted()).toEqual(all.toSorted());
    expect(await claimNotices(bench.store, all, 60_000)).toEqual([]);
    const [other = ''] = await write('bob', 1);
    expect(await claimNotices(bench.store, [other], 0)).toHaveLength(1);
    expect(await deliverNotice(notices.deps(), [other], GOING_ON)).toMatchObject({ delivered: 1 });
  });

  test('is left alone by a job that has to end, and while the service is left alone', async () => {
    const all = await write('ann', 12);
    expect(await deliverNotice(notices.deps(), all, AbortSignal.abort())).toMatchObject({ delivered: 0 });
    notices.service.control.fail({ kind: 'status', status: 500 });
    const deps = notices.deps();
    expect(await deliverNotice(deps, all, GOING_ON)).toMatchObject({ failed: 12 });
    expect(deps.notifications.isLeftAlone()).toBe(true);
    expect(await deliverNotice(deps, all, AbortSignal.timeout(300))).toMatchObject({ delivered: 0, failed: 0 });
    expect((await rowsOf('ann')).map(({ attempts }) => attempts)).toEqual(all.map(() => 1));
  });
});

describe('the limit of a user', () => {
  test('puts off what is above it without counting an attempt; others and what is urgent go on', async () => {
    await write('ann', 5);
    await write('bob', 2);
    const urgent = notice('billing_alert', { userId: 'ann', alert: 'arrears', causeId: 'c1', overdueAmount: 1, overdueDays: 1 });
    await writeNotices(bench.store.prisma, [urgent]);
    const deps = notices.deps({ perMinute: 3 });
    expect(await deliverNotice(deps, await ids(), GOING_ON)).toMatchObject({ delivered: 6, givenBack: 2 });
    expect(
      sent()
        .map(({ userId, type }) => `${userId} ${type}`)
        .toSorted(),
    ).toEqual(['ann billing_alert', ...Array.from({ length: 3 }, () => 'ann queue_joined'), 'bob queue_joined', 'bob queue_joined']);
    const waiting = (await rowsOf('ann')).filter(({ status }) => status === 'pending');
    expect(waiting.map(({ attempts }) => attempts)).toEqual([0, 0]);
    for (const { nextAttemptAt } of waiting) expect(nextAttemptAt.getTime() - Date.now()).toBeGreaterThan(30_000);
    expect(await deliverNotice(deps, await ids(), GOING_ON)).toMatchObject({ delivered: 0, givenBack: 0 });
  });

  test('is one for all processes', async () => {
    const connections = await Promise.all([openRedis('producer'), openRedis('producer')]);
    const logger = createLogger('test', 'silent');
    const limits = connections.map((redis) => createNoticeLimit(redis, bench.prefix, 10, logger));
    const rooms = await Promise.all(limits.flatMap((limit) => Array.from({ length: 10 }, () => limit.take(new Map([['ann', 3]])))));
    expect(rooms.map((room) => room.get('ann')?.now ?? 0).reduce((sum, now) => sum + now, 0)).toBe(10);
    for (const redis of connections) closeRedis(redis);
    expect(await limits[0]?.take(new Map([['ann', 3]]))).toEqual(new Map([['ann', { now: 3, waitMs: 0 }]]));
  });
});

describe('a wake-up for notices', () => {
  const context = { id: '1', name: '', attempt: 1, signal: GOING_ON };

  test('of another kind is poison, for rows that are gone does nothing', async () => {
    const handlers = noticeHandlers(notices.deps());
    await expect(handlers['deliver-notice']({ kind: 'usage', ids: ['1'] }, context)).rejects.toThrow(UnrecoverableError);
    expect(await handlers['deliver-notice']({ kind: 'notice', ids: ['4711'] }, context)).toEqual({
      delivered: 0,
      failed: 0,
      dead: 0,
      givenBack: 0,
    });
  });
});
