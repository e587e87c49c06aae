import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { endInBatches } from '../../shared/store/end-in-batches.ts';
import { hear, reclaimSilent } from '../../shared/store/heartbeat.ts';
import { type ApiBench, type ApiServer, asUser, openApiBench } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { readInvariants } from '../support/invariants.ts';

const GRACE_S = 10;
let bench: ApiBench;
let api: ApiServer;
let ann: Record<string, string>;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await bench.startWorkers();
  ann = await asUser('ann');
});
afterAll(() => bench.close());
beforeEach(async () => {
  await bench.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, stuck_ends CASCADE`);
  await bench.addDevices(3);
  await listeningSince(3_600);
});

/** As if heartbeats had been heard without a break for so long, s. */
async function listeningSince(seconds: number): Promise<void> {
  await bench.store.prisma.$executeRaw`
    INSERT INTO listening (since, heard_until) VALUES (now() - make_interval(secs => ${seconds}::int), now())
    ON CONFLICT (one) DO UPDATE SET since = excluded.since, heard_until = excluded.heard_until`;
}

/** An allocation that began `ago` seconds ago and whose holder was last heard `silent` seconds ago. */
async function held(ago: number, silent: number | null, heartbeatSeconds: number | null = 30) {
  const asked = heartbeatSeconds === null ? {} : { heartbeatSeconds };
  const { body } = await api.call('POST', '/scheduler/devices/allocate', { as: ann, body: { userId: 'ann', waitMs: 30_000, ...asked } });
  const { allocationId, fence } = body.data;
  await bench.store.prisma.$executeRaw`
    UPDATE allocations SET allocated_at = now() - make_interval(secs => ${ago}::int), last_heartbeat_at = now() - make_interval(secs => ${silent}::int),
      heartbeat_check_at = CASE WHEN heartbeat_check_at IS NOT NULL THEN now() - make_interval(secs => ${ago}::int) END WHERE id = ${allocationId}::uuid`;
  return { allocationId: String(allocationId), fence: Number(fence) };
}

const sweep = () => endInBatches(bench.store, { next: (limit) => reclaimSilent(bench.store, limit, GRACE_S, { cleaningSeconds: 0 }) });
const beat = (id: string, fence: unknown, as = ann) => api.call('POST', `/scheduler/allocations/${id}/heartbeat`, { as, body: { fence } });
const stateOf = (id: string) => bench.store.prisma.allocation.findUniqueOrThrow({ where: { id } });

describe('a heartbeat', () => {
  test('is noted by one heap-only update and answered with nothing', async () => {
    const { allocationId, fence } = await held(100, 100);
    const answer = await beat(allocationId, fence);
    expect([answer.status, answer.text]).toEqual([204, '']);
    const { lastHeartbeatAt } = await stateOf(allocationId);
    expect(Date.now() - (lastHeartbeatAt?.getTime() ?? 0)).toBeLessThan(50_000);
    const changes = await bench.store.prisma.$transaction(async (tx) => {
      const read = async () => {
        const [row] = await tx.$queryRaw<{ updates: number; hot: number }[]>`
          SELECT n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot FROM pg_stat_xact_user_tables WHERE relname = 'allocations'`;
        return row ?? { updates: 0, hot: 0 };
      };
      const before = await read();
      await hear({ ...bench.store, prisma: tx as never }, allocationId, fence, { kind: 'all' });
      const after = await read();
      return { updates: after.updates - before.updates, hot: after.hot - before.hot };
    });
    expect(changes).toEqual({ updates: 1, hot: 1 });
  });

  test('of an older fence, of an ended allocation, of somebody else, of nobody is refused by name', async () => {
    const first = await held(1, null);
    await api.call('POST', '/scheduler/devices/release', { as: ann, body: { allocationId: first.allocationId } });
    expect((await beat(first.allocationId, first.fence)).body).toMatchObject({ statusCode: 410, code: 'ALLOCATION_ENDED' });
    await bench.store.prisma.$executeRaw`UPDATE devices SET fence = 7 WHERE allocation_id IS NULL`;
    const { allocationId, fence } = await held(1, null);
    expect(fence).toBe(8);
    expect((await beat(allocationId, 7)).body).toMatchObject({ statusCode: 409, code: 'STALE_FENCE', details: { fence: 7, current: 8 } });
    expect((await beat(allocationId, fence, await asUser('eve'))).body).toMatchObject({ statusCode: 404, code: 'ALLOCATION_NOT_FOUND' });
    expect((await beat(randomUUID(), 1)).status).toBe(404);
    for (const wrong of [undefined, '8', 0, 1.5]) expect((await beat(allocationId, wrong)).status).toBe(400);
  });
});

describe('a holder who fell silent', () => {
  test('loses the device; it is billed until then, and told to everybody', async () => {
    const lost = await held(300, 41);
    const heard = await held(300, 20);
    const unbound = await held(300, null, null);
    expect(await sweep()).toEqual({ ended: 1, stuck: 0 });
    const { status, endReason, endedAt, allocatedAt } = await stateOf(lost.allocationId);
    expect([status, endReason]).toEqual(['released', 'holder_lost']);
    const seconds = Math.floor(((endedAt?.getTime() ?? 0) - allocatedAt.getTime()) / 1_000);
    expect(seconds).toBeGreaterThanOrEqual(300);
    expect(await bench.store.prisma.ledgerEntry.findUnique({ where: { allocationId: lost.allocationId } })).toMatchObject({
      durationSeconds: seconds,
      endReason: 'holder_lost',
    });
    const topics = await bench.store.prisma.outboxEntry.findMany({ where: { key: lost.allocationId }, orderBy: { id: 'asc' } });
    expect(topics.map(({ topic }) => topic)).toEqual(
      expect.arrayContaining(['device.released', 'scheduler.allocation.released', 'decrement']),
    );
    expect((await beat(lost.allocationId, lost.fence)).status).toBe(410);
    for (const { allocationId } of [heard, unbound]) expect((await stateOf(allocationId)).status).toBe('allocated');
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  test('is looked at again only when the silence could have become too long', async () => {
    const { allocationId } = await held(300, 15);
    await sweep();
    const { heartbeatCheckAt, lastHeartbeatAt } = await stateOf(allocationId);
    expect((heartbeatCheckAt?.getTime() ?? 0) - (lastHeartbeatAt?.getTime() ?? 0)).toBe((30 + GRACE_S) * 1_000);
  });

  test('keeps the device while nobody of us listens, and has the whole time anew afterwards', async () => {
    const { allocationId } = await held(7_200, 3_600);
    await api.close();
    await bench.store.prisma
      .$executeRaw`UPDATE listening SET heard_until = now() - interval '30 minutes', since = now() - interval '3 hours'`;
    expect((await sweep()).ended).toBe(0);
    api = await bench.start();
    await eventually(async () => {
      const row = await bench.store.prisma.listening.findFirstOrThrow();
      expect(Date.now() - row.since.getTime()).toBeLessThan(60_000);
    });
    expect((await sweep()).ended).toBe(0);
    const { heartbeatCheckAt } = await stateOf(allocationId);
    expect(heartbeatCheckAt?.getTime()).toBeGreaterThan(Date.now());
    // The guard switched off: had we listened all the time, it would be gone.
    await listeningSince(10_800);
    await bench.store.prisma.$executeRaw`UPDATE allocations SET heartbeat_check_at = now()`;
    expect((await sweep()).ended).toBe(1);
  });

  test('keeps it over a restart of ours that is short, and gets no time for it', async () => {
    await held(300, 41);
    await api.close();
    await bench.store.prisma.$executeRaw`UPDATE listening SET heard_until = now() - interval '1 second'`;
    api = await bench.start();
    await eventually(async () => expect((await sweep()).ended).toBe(1));
  });

  test('and who is heard in the same moment either lost the device or keeps it', async () => {
    for (let round = 0; round < 40; round += 1) {
      const { allocationId, fence } = await held(300, 41);
      const [{ ended }, { status }] = await Promise.all([sweep(), beat(allocationId, fence)]);
      const after = await stateOf(allocationId);
      expect([after.status, status, ended]).toEqual(ended === 1 ? ['released', 410, 1] : ['allocated', 204, 0]);
      if (ended === 0) await api.call('POST', '/scheduler/devices/release', { as: ann, body: { allocationId } });
    }
    // The leases began, as this test has it, before those that ended before them.
    const broken = await readInvariants(bench.store);
    expect(broken.filter((rule) => !/overlap|fences/.test(rule))).toEqual([]);
  });

  test('whose time is over anyway has expired, to the second', async () => {
    const { allocationId } = await held(300, 100);
    await bench.store.prisma.$executeRaw`UPDATE allocations SET expires_at = now() - interval '1 second' WHERE id = ${allocationId}::uuid`;
    expect((await sweep()).ended).toBe(0);
  });
});
