import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { NewAllocate } from '../../queues/jobs/allocate.ts';
import { schedulesFor } from '../../queues/schedules.ts';
import { askedAllocation } from '../../shared/allocation/asked.ts';
import { createLogger } from '../../shared/logger.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { createCollector } from '../../shared/run/collector.ts';
import { type GroupOutcome, grantGroup } from '../../shared/store/grant-group.ts';
import { insertRequest } from '../../shared/store/requests.ts';
import { type AllocateItem, allocate } from '../../workers/allocation/allocate.ts';
import { startMaintenance } from '../../workers/maintenance/start-maintenance.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { MAINTENANCE } from '../support/maintenance-settings.ts';
import { type OwnServer, ownPostgres, ownRedis } from '../support/own-servers.ts';
import { redisUrl } from '../support/redis.ts';
import { RENEWAL, type Wired, wire } from '../support/wire.ts';

let wired: Wired | undefined;
let server: OwnServer | undefined;
afterEach(async () => {
  await wired?.close();
  await server?.remove();
  wired = undefined;
  server = undefined;
});

const asked = askedAllocation.parse({});

function requestOf(userId: string, source: NewAllocate['source']): NewAllocate {
  return { requestId: randomUUID(), caller: 'test', source, userId, tenantId: null, tier: 'standard', asked, acceptedAt: Date.now() };
}

describe('a request', () => {
  it('whose worker is killed after the commit is granted once, and its caller still gets the answer', async () => {
    wired = await wire({ allocationWorkers: 0 });
    await addDevices(wired.store, alike(3));
    const outcome = wired.allocate('ann');
    const arguments_ = ['tests/support/dying-worker.ts', '--database', wired.databaseUrl, '--redis', redisUrl(), '--prefix', wired.prefix];
    const dying = spawn(process.execPath, ['--no-warnings', ...arguments_], { stdio: 'ignore' });
    const [, signal] = await once(dying, 'exit');
    expect(signal).toBe('SIGKILL');
    expect(await wired.store.prisma.allocation.count()).toBe(1);
    wired.addAllocationWorker({ timing: { lockDuration: 2_000, stalledInterval: 500 } });
    expect((await outcome).status).toBe('granted');
    expect(await wired.store.prisma.allocation.count()).toBe(1);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  it('run twice at once by two workers is granted once and answered the same by both', async () => {
    wired = await wire({ allocationWorkers: 0 });
    const { store, metrics, allocation } = wired;
    await addDevices(store, alike(5));
    const request = { ...requestOf('ann', 'client'), traceId: undefined };
    const policy = { ...allocation.outagePolicy, strategy: RESOURCE_BASED };
    const worker = () => ({
      quotaOf: allocation.quota.quotaOf,
      balanceOf: allocation.balance.balanceOf,
      collector: createCollector<AllocateItem, GroupOutcome>({
        maxSize: 10,
        maxParallel: 1,
        run: (items) => grantGroup(store, items, policy),
      }),
      metrics,
    });
    const call = { request, replyTo: undefined, fairStart: 0, acceptedAt: Date.now() };
    const signal = new AbortController().signal;
    const [one, other] = await Promise.all([allocate(worker(), call, { signal }), allocate(worker(), call, { signal })]);
    expect(one.status).toBe('granted');
    expect(other).toEqual(one);
    expect(await store.prisma.allocation.count()).toBe(1);
  });
});

describe('accepted requests', () => {
  it('survive a Redis that lost everything: each is decided once, none is lost', async () => {
    wired = await wire({ allocationWorkers: 0 });
    const { store, producer, redis, prefix, allocation, metrics } = wired;
    await addDevices(store, alike(40));
    const logger = createLogger('test', 'silent');
    const schedules = schedulesFor({ expiryTickSeconds: 1, cleanupTimeZone: 'UTC' });
    const retention = { allocationDays: 30, idempotencyHours: 24, outboxDays: 2, inboxDays: 30 };
    const maintenance = await startMaintenance({
      store,
      redis,
      redisAddress: allocation.redisAddress,
      prefix,
      producer,
      cleaningSeconds: 0,
      heartbeatGraceSeconds: 10,
      retention,
      autoExtend: { balance: wired.balance, rules: RENEWAL, leadSeconds: 120 },
      schedules,
      keepEveryMs: 100,
      graceSeconds: 0,
      metrics,
      logger,
    });
    try {
      const requests = Array.from({ length: 40 }, (_, index) => requestOf(`user-${index}`, 'http'));
      for (const request of requests) await insertRequest(store, { ...request, traceId: undefined });
      await producer.allocate(requests);
      await redis.del(...(await redis.keys(`${prefix}*`)));
      expect(await producer.waiting()).toBe(0);
      await wired.know(requests.map(({ userId }) => userId));
      wired.addAllocationWorker();
      for (const { requestId } of requests) await wired.untilDecided(requestId);
      expect(await store.prisma.request.groupBy({ by: ['status'], _count: true })).toEqual([{ status: 'granted', _count: 40 }]);
      expect(await readInvariants(store)).toEqual([]);
    } finally {
      await maintenance.close();
    }
  });
});

describe('a request accepted while Redis is away', () => {
  it('is handed out when Redis is back, without waiting for the next look of the reconciler', async () => {
    server = await ownRedis();
    wired = await wire({ redisUrl: server.url });
    const { store, redis, prefix, producer, metrics, allocation } = wired;
    await addDevices(store, alike(1));
    const parts = {
      store,
      redis,
      prefix,
      producer,
      metrics,
      logger: createLogger('test', 'silent'),
      redisAddress: allocation.redisAddress,
    };
    // No schedule at all: only the return of Redis can be what makes it look.
    const maintenance = await startMaintenance({ ...parts, ...MAINTENANCE, schedules: [], graceSeconds: 0 });
    try {
      await server.stop();
      const request = requestOf('ann', 'http');
      await insertRequest(store, { ...request, traceId: undefined });
      await server.start();
      await wired.untilDecided(request.requestId);
      expect(await store.prisma.request.findUniqueOrThrow({ where: { id: request.requestId } })).toMatchObject({ status: 'granted' });
    } finally {
      await maintenance.close();
    }
  }, 180_000);
});

describe('a run', () => {
  const RUN = 120;

  async function runThrough(wiredNow: Wired, disturb: () => Promise<void>): Promise<void> {
    await addDevices(wiredNow.store, alike(RUN));
    const early = Array.from({ length: RUN / 2 }, (_, index) => wiredNow.allocate(`early-${index % 20}`));
    await disturb();
    const late = Array.from({ length: RUN / 2 }, (_, index) => wiredNow.allocate(`late-${index % 20}`));
    const outcomes = await Promise.all([...early, ...late]);
    expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => 'granted'));
    expect(await readInvariants(wiredNow.store)).toEqual([]);
  }

  it('goes on by itself when Postgres is restarted, nothing lost and nothing twice', async () => {
    server = await ownPostgres();
    wired = await wire({ databaseUrl: server.url });
    const postgres = server;
    await runThrough(wired, async () => {
      await postgres.stop();
      await postgres.start();
    });
  }, 180_000);

  it('goes on by itself when Redis is restarted, nothing lost and nothing twice', async () => {
    server = await ownRedis();
    wired = await wire({ redisUrl: server.url, allocationWorkers: 0 });
    const { store, producer } = wired;
    await addDevices(store, alike(80));
    const requests = Array.from({ length: 80 }, (_, index) => requestOf(`user-${index % 20}`, 'client'));
    await producer.allocate(requests);
    wired.addAllocationWorker({ concurrency: 4, timing: { lockDuration: 2_000, stalledInterval: 500, watchdogMs: 2_000 } });
    await eventually(async () => expect(await store.prisma.request.count()).toBeGreaterThan(0), 20_000);
    await server.stop();
    await server.start();
    await eventually(async () => expect(await store.prisma.request.count({ where: { status: 'granted' } })).toBe(80), 40_000);
    expect(await store.prisma.allocation.count()).toBe(80);
    expect(await readInvariants(store)).toEqual([]);
  }, 180_000);
});
