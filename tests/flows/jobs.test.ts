import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { checkInvariants } from '../../shared/store/invariants.ts';
import { repairHolds } from '../../shared/store/repair-holds.ts';
import { runOnce } from '../../shared/store/run-once.ts';
import { takeSnapshots } from '../../shared/store/stats-snapshot.ts';
import { type ApiBench, type ApiServer, asService, asUser, openApiBench } from '../support/api-bench.ts';
import { openDashboard, VIEWER } from '../support/dashboard-bench.ts';
import { eventually } from '../support/eventually.ts';
import { readInvariants } from '../support/invariants.ts';
import { type MaintenanceBench, openMaintenanceBench } from '../support/maintenance-bench.ts';

/** What Bull Board's page is told of a queue, as far as it is looked at here. */
interface BoardQueue {
  readonly name: string;
  readonly jobs: readonly {
    readonly id: string;
    readonly name: string;
    readonly data: { readonly by: string };
    readonly progress: unknown;
  }[];
}

let bench: ApiBench;
let api: ApiServer;
let maintenance: MaintenanceBench;
let service: Record<string, string>;

beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await bench.startWorkers();
  maintenance = await openMaintenanceBench(bench);
  service = await asService();
  // Every completed tick is remembered, whoever completed it.
  await bench.store.prisma.$executeRaw`CREATE TABLE ticks (job text, tick bigint, at timestamptz DEFAULT clock_timestamp())`;
  await bench.store.prisma.$executeRaw`
    CREATE FUNCTION note_tick() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO ticks (job, tick) VALUES (NEW.job, NEW.last_tick); RETURN NEW; END $$`;
  await bench.store.prisma.$executeRaw`
    CREATE TRIGGER note_tick AFTER UPDATE ON scheduled_runs FOR EACH ROW WHEN (OLD.holder IS NOT NULL AND NEW.holder IS NULL) EXECUTE FUNCTION note_tick()`;
});
afterAll(async () => {
  await maintenance.close();
  await bench.close();
});
beforeEach(async () => {
  await bench.store.transaction(
    (tx) =>
      tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, stuck_ends, scheduled_runs, stats_snapshots, ticks CASCADE`,
  );
});

const get = async (path: string, as = service) => (await api.call('GET', path, { as })).body;
const post = async (path: string, as = service) => (await api.call('POST', path, { as })).body;
const jobOf = async (name: string) => (await get('/scheduler/jobs')).data.items.find((job: { name: string }) => job.name === name);
const ticksOf = (job: string) =>
  bench.store.prisma.$queryRaw<
    { tick: number }[]
  >`SELECT tick::float8 AS tick FROM ticks WHERE job = ${job} AND tick IS NOT NULL ORDER BY at`;

/** Allocations that began `ago` minutes ago for so many minutes, a second of their end apart. */
async function heldBy(userIds: readonly string[], ago: number, minutes: number): Promise<void> {
  await bench.addDevices(userIds.length);
  const requests = userIds.map((userId) => ({ userId, durationMinutes: minutes }));
  for (let from = 0; from < requests.length; from += 50) {
    const answer = await api.call('POST', '/scheduler/allocations/batch', {
      as: service,
      body: { requests: requests.slice(from, from + 50) },
    });
    expect(answer.body.data.failures).toEqual([]);
  }
  await bench.store.prisma.$executeRaw`
    UPDATE allocations SET allocated_at = now() - make_interval(mins => ${ago}::int, secs => n), expires_at = now() - make_interval(mins => ${ago}::int - duration_minutes, secs => n)
    FROM (SELECT id AS numbered, row_number() OVER (ORDER BY id)::float8 AS n FROM allocations) numbers WHERE id = numbered AND status = 'allocated'`;
}

describe('the scheduled jobs', () => {
  let stop: (() => Promise<void>) | undefined;
  afterEach(async () => {
    await stop?.();
    stop = undefined;
  });

  test('of two schedulers, one of which is killed, run each tick once, one after the other', async () => {
    const kill = await maintenance.startApart();
    stop = (await maintenance.start()).close;
    await eventually(async () => expect((await ticksOf('expire')).length).toBeGreaterThan(3));
    await kill();
    const before = (await ticksOf('expire')).length;
    await heldBy(['ann'], 20, 10);
    await eventually(async () => expect(await bench.store.prisma.ledgerEntry.count()).toBe(1), 40_000);
    await eventually(async () => expect((await ticksOf('expire')).length).toBeGreaterThan(before + 3), 40_000);
    const ticks = (await ticksOf('expire')).map(({ tick }) => tick);
    expect(ticks).toEqual([...new Set(ticks)].toSorted((a, b) => a - b));
  }, 120_000);

  test('go on after the end of a scheduler whose clock was ten minutes ahead', async () => {
    const kill = await maintenance.startApart(600_000);
    await eventually(async () => expect((await ticksOf('expire')).length).toBeGreaterThan(1));
    expect(Date.parse((await jobOf('expire')).nextRunAt)).toBeGreaterThan(Date.now() + 500_000);
    await kill();
    stop = (await maintenance.start()).close;
    await heldBy(['ann'], 20, 10);
    await eventually(async () => expect(await bench.store.prisma.ledgerEntry.count()).toBe(1));
    const before = (await ticksOf('expire')).length;
    await eventually(async () => expect((await ticksOf('expire')).length).toBeGreaterThan(before + 2));
    expect(Date.parse((await jobOf('expire')).nextRunAt)).toBeLessThan(Date.now() + 10_000);
  });

  test('make up for what became due while nobody ran: 200 ends in order, each billed to its own second', async () => {
    await heldBy(
      Array.from({ length: 200 }, (_, index) => `user-${index}`),
      30,
      10,
    );
    stop = (await maintenance.start()).close;
    await eventually(async () => expect(await bench.store.prisma.ledgerEntry.count()).toBe(200), 30_000);
    const bills = await bench.store.prisma.$queryRaw<{ exact: boolean; seconds: number }[]>`
      SELECT a.ended_at = a.expires_at AND l.ended_at = a.expires_at AS exact, l.duration_seconds AS seconds FROM allocations a JOIN ledger l ON l.allocation_id = a.id`;
    expect(bills).toEqual(Array.from({ length: 200 }, () => ({ exact: true, seconds: 600 })));
    const told = await bench.store.prisma.$queryRaw<{ at: string }[]>`
      SELECT payload ->> 'expiredAt' AS at FROM outbox WHERE topic = 'scheduler.allocation.expired' ORDER BY id`;
    expect(told.map(({ at }) => at)).toEqual(told.map(({ at }) => at).toSorted());
    expect(await readInvariants(bench.store)).toEqual([]);
  });

  test('end everything but the one row the database refuses, which is seen, and ended once it can be', async () => {
    await heldBy(['ann', 'bad', 'bob', 'cyd', 'dan'], 30, 10);
    await bench.store.prisma.$executeRaw`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'this one not' USING ERRCODE = 'check_violation'; END $$`;
    await bench.store.prisma.$executeRaw`
      CREATE TRIGGER refuse BEFORE UPDATE ON allocations FOR EACH ROW WHEN (OLD.user_id = 'bad' AND NEW.status <> OLD.status) EXECUTE FUNCTION refuse()`;
    stop = (await maintenance.start()).close;
    await eventually(async () => expect(await bench.store.prisma.ledgerEntry.count()).toBe(4), 20_000);
    const [stuck] = await eventually(async () => {
      const rows = await bench.store.prisma.stuckEnd.findMany();
      expect(rows).toHaveLength(1);
      return rows;
    });
    expect(stuck?.lastError).toContain('this one not');
    expect((await checkInvariants(bench.store)).checks.filter(({ ok }) => !ok).map(({ sample }) => sample)).toEqual([
      [stuck?.allocationId],
    ]);
    // Another one that becomes due meanwhile does not wait for it.
    await bench.store.prisma.$executeRaw`DROP TRIGGER refuse ON allocations`;
    await bench.store.prisma.$executeRaw`UPDATE stuck_ends SET next_attempt_at = now()`;
    await eventually(async () => expect(await bench.store.prisma.ledgerEntry.count()).toBe(5), 20_000);
    await post('/scheduler/jobs/reconcile/run');
    await eventually(async () => expect(await bench.store.prisma.stuckEnd.count()).toBe(0), 20_000);
  });

  test('are listed with how they went, run when asked, and stay paused over restarts and lost schedules', async () => {
    const first = await maintenance.start();
    stop = first.close;
    await eventually(async () => expect((await jobOf('expire')).lastRunAt).not.toBeNull());
    expect(await jobOf('expire')).toMatchObject({
      name: 'expire',
      every: 1,
      nextRunAt: expect.any(String),
      lastDurationMs: expect.any(Number),
      lastResult: { expired: 0, reclaimed: 0, stuck: 0, cleaned: 0 },
      lastError: null,
      paused: false,
    });
    expect(await jobOf('cleanup')).toMatchObject({ cron: '0 2 * * *', timeZone: 'UTC', lastRunAt: null, paused: false });
    expect((await post('/scheduler/jobs/expire/pause')).data).toMatchObject({ paused: true, nextRunAt: null });
    await eventually(async () => expect((await jobOf('expire')).running).toBe(false));
    await heldBy(['ann'], 20, 10);

    await first.close();
    await new Promise((resolve) => setImmediate(resolve));
    const queue = new Queue('maintenance', { connection: bench.redis, prefix: bench.prefix });
    for (const { key } of await queue.getJobSchedulers()) await queue.removeJobScheduler(key);
    stop = (await maintenance.start()).close;
    const seen = (await ticksOf('waitlist')).length;
    // Ticks of five seconds go by: those of a second did as well, and did nothing.
    await eventually(async () => expect((await ticksOf('waitlist')).length).toBeGreaterThan(seen + 1), 30_000);
    expect(await bench.store.prisma.ledgerEntry.count()).toBe(0);
    expect((await post('/scheduler/jobs/expire/run')).success).toBe(true);
    await eventually(async () => expect(await bench.store.prisma.ledgerEntry.count()).toBe(1));
    expect((await post('/scheduler/jobs/expire/resume')).data.paused).toBe(false);
    const paused = (await ticksOf('expire')).length;
    await eventually(async () => expect((await ticksOf('expire')).length).toBeGreaterThan(paused));
    await queue.close();
  });

  test('say in Bull Board how they went: in the log of the job, and by its progress', async () => {
    const dashboard = await openDashboard(bench);
    const { close } = await maintenance.start();
    stop = async () => {
      await close();
      await dashboard.close();
    };
    const { get: look } = await dashboard.logIn(VIEWER);
    const board = async (path: string) => (await look(`/queues/api/queues${path}`)).json();
    await post('/scheduler/jobs/stats/run');
    const shown = await eventually(async () => {
      const { queues } = (await board('?activeQueue=maintenance&status=completed&jobsPerPage=100')) as { queues: BoardQueue[] };
      const jobs = queues.find(({ name }) => name === 'maintenance')?.jobs ?? [];
      const [asked] = jobs.filter(({ name, data }) => name === 'stats' && data.by === 'operator');
      if (asked === undefined) throw new Error('the job is not completed');
      return asked;
    });
    expect(shown.progress).toBe(100);
    expect(await board(`/maintenance/${shown.id}`)).toMatchObject({ status: 'completed', job: { progress: 100 } });
    expect(await board(`/maintenance/${shown.id}/logs`)).toEqual([
      'attempt 1 has begun',
      expect.stringMatching(/^done after \d+ ms: \{"snapshots":\d+\}$/),
    ]);
  });

  test('are for admins, and known by name', async () => {
    expect((await post('/scheduler/jobs/nothing/run')).code).toBe('NOT_FOUND');
    expect((await post('/scheduler/jobs/expire/pause', await asUser('ann'))).code).toBe('FORBIDDEN');
  });
});

describe('one run', () => {
  const parts = () => ({ store: bench.store, metrics: createMetrics('test'), logger: createLogger('test', 'silent') });
  const { signal } = new AbortController();

  test('never overlaps another of the same job; a tick gives way, who asked for it waits', async () => {
    const { promise: gate, resolve: release } = Promise.withResolvers<void>();
    const long = runOnce(parts(), { job: 'j', at: 1_000, signal }, async () => {
      await gate;
      return { first: true };
    });
    await eventually(async () => expect(await bench.store.prisma.scheduledRun.count({ where: { NOT: { holder: null } } })).toBe(1));
    expect(await runOnce(parts(), { job: 'j', at: 2_000, signal }, async () => ({ second: true }))).toEqual({ skipped: true });
    const asked = runOnce(parts(), { job: 'j', at: undefined, signal }, async () => ({ asked: true }));
    release();
    expect(await long).toEqual({ first: true });
    expect(await asked).toEqual({ asked: true });
  });

  test('of a tick that was completed, or overtaken, is not run again; one that failed leaves its tick open', async () => {
    const at = (tick: number, run = async () => ({ tick }) as Record<string, unknown>) =>
      runOnce(parts(), { job: 'j', at: tick, signal }, run);
    await expect(at(1_000, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await bench.store.prisma.scheduledRun.findUnique({ where: { job: 'j' } })).toMatchObject({ lastError: 'no', lastTick: null });
    expect(await at(1_000)).toEqual({ tick: 1_000 });
    expect(await at(1_000)).toEqual({ skipped: true });
    expect(await at(3_000)).toEqual({ tick: 3_000 });
    expect(await at(2_000)).toEqual({ skipped: true });
  });

  test('of a tick that lies ahead counts as of now: those that come are run', async () => {
    const at = (tick: number) => runOnce(parts(), { job: 'j', at: tick, signal }, async () => ({ tick }));
    const [now, ahead] = [Date.now(), Date.now() + 600_000];
    expect(await at(ahead)).toEqual({ tick: ahead });
    const { lastTick } = await bench.store.prisma.scheduledRun.findUniqueOrThrow({ where: { job: 'j' } });
    expect(Number(lastTick)).toBeGreaterThanOrEqual(now - 60_000);
    expect(Number(lastTick)).toBeLessThan(now + 60_000);
    // As a process of an older version left it.
    await bench.store.prisma.scheduledRun.update({ where: { job: 'j' }, data: { lastTick: ahead } });
    expect(await at(now)).toEqual({ tick: now });
    expect(await at(now - 1)).toEqual({ skipped: true });
  });

  test('is taken over from a process that died', async () => {
    await bench.store.prisma
      .$executeRaw`INSERT INTO scheduled_runs (job, holder, held_until) VALUES ('j', 'dead', now() - interval '1 second')`;
    expect(await runOnce(parts(), { job: 'j', at: 1_000, signal }, async () => ({ done: true }))).toEqual({ done: true });
  });
});

describe('the notice before the end', () => {
  test('is given once for each end, ten minutes before, and not to who has the device for ten minutes only', async () => {
    await heldBy(['soon', 'later'], 0, 60);
    await heldBy(['short'], 0, 10);
    await bench.store.prisma
      .$executeRaw`UPDATE allocations SET allocated_at = now() - interval '51 minutes', expires_at = now() + interval '9 minutes' WHERE user_id = 'soon'`;
    const { close } = await maintenance.start();
    const run = async (runs: number) => {
      await post('/scheduler/jobs/expiring-soon/run');
      await eventually(async () =>
        expect(
          await bench.store.prisma.$queryRaw`SELECT count(*)::int AS n FROM ticks WHERE job = 'expiring-soon' AND tick IS NULL`,
        ).toEqual([{ n: runs }]),
      );
      return bench.store.prisma.outboxEntry.findMany({ where: { topic: 'allocation_expiring_soon' }, orderBy: { id: 'asc' } });
    };
    const first = await run(1);
    expect(first).toMatchObject([{ channel: 'notice', key: 'soon', payload: { userId: 'soon', data: { minutesLeft: 9 } } }]);
    expect(await run(2)).toHaveLength(1);
    await bench.store.prisma.$executeRaw`UPDATE allocations SET expires_at = expires_at + interval '30 seconds' WHERE user_id = 'soon'`;
    expect(await run(3)).toHaveLength(2);
    await close();
  });
});

describe('the snapshots', () => {
  test('have one row an hour, with what happened in it; hours nobody looked at are made up for', async () => {
    await heldBy(['ann', 'bob'], 0, 60);
    await bench.store.prisma.$executeRaw`UPDATE allocations SET allocated_at = date_trunc('hour', now(), 'UTC') - interval '30 minutes'`;
    expect(await takeSnapshots(bench.store)).toBe(1);
    expect(await takeSnapshots(bench.store)).toBe(0);
    expect(await bench.store.prisma.statsSnapshot.findMany()).toMatchObject([
      { granted: 2, released: 0, liveAllocations: 2, devices: 2, availableDevices: 0 },
    ]);
    await bench.store.prisma.$executeRaw`UPDATE stats_snapshots SET hour = hour - interval '3 hours'`;
    expect(await takeSnapshots(bench.store)).toBe(3);
    expect((await bench.store.prisma.statsSnapshot.findMany({ orderBy: { hour: 'asc' } })).map(({ granted }) => granted)).toEqual([
      2, 0, 0, 2,
    ]);
  });

  test('count a wait in the hour it ended in', async () => {
    await heldBy(['ann'], 0, 60);
    const end = "date_trunc('hour', now(), 'UTC') - interval '30 minutes'";
    await bench.store.prisma.$executeRawUnsafe(`UPDATE requests SET created_at = ${end} - interval '2 hours', decided_at = ${end}`);
    await bench.store.prisma.$executeRawUnsafe(`UPDATE allocations SET allocated_at = ${end}`);
    expect(await takeSnapshots(bench.store)).toBe(1);
    expect(await bench.store.prisma.statsSnapshot.findMany()).toMatchObject([{ granted: 1, waitP50Ms: 7_200_000, waitP95Ms: 7_200_000 }]);
  });
});

describe('the retention', () => {
  test('removes an allocation with its bill and request once it is old and settled, and keeps what is owed or dead', async () => {
    await heldBy(['settled', 'owed', 'dead', 'fresh', 'live'], 0, 60);
    const { close } = await maintenance.start();
    for (const userId of ['settled', 'owed', 'dead', 'fresh']) {
      const { allocations } = (await api.call('POST', '/scheduler/allocations/batch/query', { as: service, body: { userIds: [userId] } }))
        .body.data;
      await api.call('POST', '/scheduler/devices/release', { as: service, body: { allocationId: allocations[userId][0].allocationId } });
    }
    await bench.store.prisma.$executeRaw`
      UPDATE ledger SET status = CASE user_id WHEN 'dead' THEN 'dead' ELSE 'settled' END, settled_at = CASE user_id WHEN 'dead' THEN NULL ELSE now() END WHERE user_id <> 'owed'`;
    await bench.store.prisma
      .$executeRaw`UPDATE allocations SET allocated_at = now() - interval '32 days', expires_at = now() - interval '31 days', ended_at = now() - interval '31 days' WHERE user_id IN ('settled', 'owed', 'dead')`;
    await bench.store.prisma.$executeRaw`
      INSERT INTO requests (id, caller, source, user_id, tier, asked, status, code, decided_at) VALUES (${randomUUID()}::uuid, 'c', 'http', 'refused', 'free', '{}', 'refused', 'NO_DEVICE_AVAILABLE', now() - interval '31 days')`;
    await post('/scheduler/jobs/cleanup/run');
    await eventually(async () => expect((await jobOf('cleanup')).lastResult).toMatchObject({ allocations: 1, requests: 1 }));
    const kept = async (rows: Promise<{ userId: string }[]>) => (await rows).map(({ userId }) => userId).toSorted();
    expect(await kept(bench.store.prisma.allocation.findMany())).toEqual(['dead', 'fresh', 'live', 'owed']);
    expect(await kept(bench.store.prisma.ledgerEntry.findMany())).toEqual(['dead', 'fresh', 'owed']);
    expect(await kept(bench.store.prisma.request.findMany())).toEqual(['dead', 'fresh', 'live', 'owed']);
    await close();
  });
});

describe('the reconciler', () => {
  test('makes devices say what their allocations say, a part of the fleet at a time', async () => {
    await heldBy(['ann', 'bob', 'cyd'], 0, 60);
    const [lost, orphan] = await bench.store.prisma.allocation.findMany({ orderBy: { userId: 'asc' } });
    await bench.store.prisma.$executeRaw`UPDATE devices SET allocation_id = NULL, fence = 0 WHERE id = ${lost?.deviceId}::uuid`;
    await bench.store.prisma
      .$executeRaw`UPDATE allocations SET status = 'released', ended_at = greatest(now(), allocated_at), end_reason = 'released' WHERE id = ${orphan?.id}::uuid`;
    const repaired: string[] = [];
    let checkedTo: string | null = null;
    do {
      const look = await repairHolds(bench.store, checkedTo, 2);
      repaired.push(...look.repaired);
      checkedTo = look.checkedTo;
    } while (checkedTo !== null);
    expect(repaired.toSorted()).toEqual([lost?.deviceId, orphan?.deviceId].toSorted());
    const devices = await bench.store.prisma.device.findMany({ where: { id: { in: repaired } } });
    expect(devices.map(({ id, allocationId, fence }) => ({ id, allocationId, fence }))).toEqual(
      expect.arrayContaining([
        { id: lost?.deviceId, allocationId: lost?.id, fence: lost?.fence },
        { id: orphan?.deviceId, allocationId: null, fence: orphan?.fence },
      ]),
    );
    expect((await repairHolds(bench.store, null, 100)).repaired).toEqual([]);
  });

  test('tries a client’s job again that failed for good before its request had a row', async () => {
    await bench.addDevices(1);
    const queue = new Queue('allocate', { connection: bench.redis, prefix: bench.prefix });
    const requestId = randomUUID();
    const data = {
      requestId,
      caller: 'service:x',
      source: 'client',
      userId: 'ann',
      tenantId: null,
      tier: 'standard',
      asked: {},
      acceptedAt: Date.now(),
      fairStart: 0,
    };
    await bench.store.prisma.$executeRaw`ALTER TABLE requests RENAME TO away`;
    try {
      await queue.add('allocate', data, { jobId: requestId, attempts: 1 });
      await eventually(async () => expect(await queue.getJobState(requestId)).toBe('failed'));
    } finally {
      await bench.store.prisma.$executeRaw`ALTER TABLE away RENAME TO requests`;
    }
    const { close } = await maintenance.start();
    await post('/scheduler/jobs/reconcile/run');
    await eventually(async () =>
      expect(await bench.store.prisma.request.findUnique({ where: { id: requestId } })).toMatchObject({ status: 'granted' }),
    );
    await close();
    await queue.close();
  });
});

describe('a user', () => {
  test('is shown with block, limits and use, to who may see them', async () => {
    await heldBy(['ann'], 0, 60);
    const { data } = await get('/scheduler/users/ann');
    expect(data).toMatchObject({
      userId: 'ann',
      blocked: false,
      state: 'active',
      arrearsSince: null,
      limits: { maxDevices: 10 },
      use: { devices: 1, cpuCores: 4, memoryMB: 4096, storageMB: 65_536 },
    });
    await bench.store.prisma.$executeRaw`UPDATE users SET arrears_since = now() WHERE id = 'ann'`;
    expect((await get('/scheduler/users/ann')).data).toMatchObject({ blocked: true, blockCode: 'ACCOUNT_IN_ARREARS' });
    expect((await get('/scheduler/users/nobody')).code).toBe('NOT_FOUND');
    expect((await get('/scheduler/users/ann', await asUser('eve', { roles: ['admin'], tenantId: 't9' }))).code).toBe('NOT_FOUND');
  });
});
