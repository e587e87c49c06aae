import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Queue } from 'bullmq';
import { schedulesFor } from '../../queues/schedules.ts';
import { createLogger } from '../../shared/logger.ts';
import { RESOURCE_BASED } from '../../shared/placement/strategy.ts';
import { insertWaiting } from '../../shared/store/begin-waiting.ts';
import { insertRequest } from '../../shared/store/requests.ts';
import { activateType } from '../../shared/store/strategies.ts';
import { watchStrategy } from '../../shared/store/strategy-watch.ts';
import { type MaintenanceDependencies, startMaintenance } from '../../workers/maintenance/start-maintenance.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { RENEWAL, type Wired, wire } from '../support/wire.ts';

const logger = createLogger('test', 'silent');
let wired: Wired;
let maintenance: Awaited<ReturnType<typeof startMaintenance>>;

beforeAll(async () => {
  wired = await wire();
  const { store, redis, prefix, producer, metrics, allocation } = wired;
  const dependencies: MaintenanceDependencies = {
    store,
    redis,
    redisAddress: allocation.redisAddress,
    prefix,
    producer,
    cleaningSeconds: 0,
    heartbeatGraceSeconds: 10,
    retention: { allocationDays: 30, idempotencyHours: 24, outboxDays: 2, inboxDays: 30 },
    autoExtend: { balance: wired.balance, rules: RENEWAL, leadSeconds: 120 },
    schedules: schedulesFor({ expiryTickSeconds: 1, cleanupTimeZone: 'UTC' }),
    keepEveryMs: 50,
    graceSeconds: 0,
    metrics,
    logger,
  };
  maintenance = await startMaintenance(dependencies);
});
afterAll(async () => {
  await maintenance.close();
  await wired.close();
});
beforeEach(async () => {
  await wired.store.transaction(
    (tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox, inbox, idempotency_keys CASCADE`,
  );
});

const asked = { durationMinutes: 60, queueIfBusy: false, maxWaitMinutes: 30, autoExtend: false };

describe('expiry', () => {
  it('ends what is due at the second it was granted until, bills it, and leaves the rest', async () => {
    await addDevices(wired.store, alike(3));
    for (const userId of ['ann', 'bob', 'cyd']) await wired.allocate(userId, { durationMinutes: 10 });
    await wired.store.prisma.$executeRaw`
      UPDATE allocations SET allocated_at = now() - interval '20 minutes', expires_at = now() - interval '10 minutes' WHERE user_id <> 'cyd'`;
    await eventually(async () => expect(await wired.store.prisma.ledgerEntry.count()).toBe(2), 15_000);
    const bills = await wired.store.prisma.ledgerEntry.findMany({ select: { durationSeconds: true, endReason: true } });
    expect(bills).toEqual([
      { durationSeconds: 600, endReason: 'expired' },
      { durationSeconds: 600, endReason: 'expired' },
    ]);
    expect(await wired.store.prisma.device.count({ where: { allocationId: null } })).toBe(2);
    expect(await wired.store.prisma.outboxEntry.count({ where: { topic: 'scheduler.allocation.expired' } })).toBe(2);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  it('frees devices whose cleaning is over', async () => {
    const [id = ''] = await addDevices(wired.store, alike(1));
    await wired.store.prisma.device.update({ where: { id }, data: { cleaningUntil: new Date(0) } });
    await eventually(
      async () => expect(await wired.store.prisma.device.findUnique({ where: { id } })).toMatchObject({ cleaningUntil: null }),
      15_000,
    );
  });
});

describe('the reconciler', () => {
  it('hands out a request whose job never came to be', async () => {
    await addDevices(wired.store, alike(1));
    const requestId = randomUUID();
    await insertRequest(wired.store, {
      requestId,
      caller: 'user:ann',
      source: 'http',
      userId: 'ann',
      tenantId: null,
      tier: 'standard',
      traceId: undefined,
      asked,
    });
    await wired.producer.runNow('reconcile');
    await wired.untilDecided(requestId);
    expect(await wired.store.prisma.request.findUnique({ where: { id: requestId } })).toMatchObject({ status: 'granted' });
  });

  it('ends requests past their deadline and says so by an event', async () => {
    const requestId = randomUUID();
    const words = { caller: 'user:ann', source: 'http', userId: 'ann', tenantId: null, tier: 'standard', traceId: undefined } as const;
    await wired.store.transaction((tx) => insertWaiting(tx, { requestId, ...words, asked }));
    await wired.store.prisma.request.update({ where: { id: requestId }, data: { deadline: new Date(0) } });
    await wired.producer.runNow('reconcile');
    await wired.untilDecided(requestId);
    expect(await wired.store.prisma.request.findUnique({ where: { id: requestId } })).toMatchObject({
      status: 'timed_out',
      code: 'REQUEST_TIMED_OUT',
    });
    expect(await wired.store.prisma.outboxEntry.count({ where: { topic: 'scheduler.allocation.failed', key: requestId } })).toBe(1);
  });
});

describe('the schedules', () => {
  it('come back after Redis lost them', async () => {
    const queue = new Queue('maintenance', { connection: wired.redis, prefix: wired.prefix });
    try {
      expect((await queue.getJobSchedulers()).map(({ key }) => key).sort()).toEqual([
        'auto-extend',
        'billing-retry',
        'cleanup',
        'expire',
        'expiring-soon',
        'reconcile',
        'stats',
        'waitlist',
      ]);
      await queue.removeJobScheduler('expire');
      await eventually(async () => expect((await queue.getJobSchedulers()).map(({ key }) => key)).toContain('expire'));
    } finally {
      await queue.close();
    }
  });

  it('leave a heartbeat for each job they run', async () => {
    await eventually(
      async () =>
        expect(await wired.store.prisma.scheduledRun.findUnique({ where: { job: 'expire' } })).toMatchObject({
          lastResult: { cleaned: expect.any(Number) },
        }),
      15_000,
    );
    await wired.producer.runNow('billing-retry');
    await eventually(
      async () =>
        expect(await wired.store.prisma.scheduledRun.count({ where: { job: 'billing-retry', NOT: { lastRunAt: null } } })).toBe(1),
      15_000,
    );
  });

  it('try waiting requests again even if nobody said that a device became free', async () => {
    const [id = ''] = await addDevices(wired.store, alike(1, { status: 'stopped' }));
    const requestId = randomUUID();
    expect((await wired.allocate('ann', { requestId, queueIfBusy: true })).status).toBe('waiting');
    await wired.store.prisma.device.update({ where: { id }, data: { status: 'running' } });
    await wired.producer.runNow('waitlist');
    await wired.untilDecided(requestId);
  });
});

describe('the cleanup', () => {
  it('removes what is over and settled, and nothing else', async () => {
    const old = new Date(0);
    await wired.store.prisma.inboxEntry.createMany({
      data: [
        { eventId: 'old', topic: 't', receivedAt: old },
        { eventId: 'new', topic: 't' },
      ],
    });
    const key = { caller: 'c', route: 'r', bodyHash: 'h', lockedUntil: old };
    await wired.store.prisma.idempotencyKey.createMany({
      data: [
        { ...key, key: 'old', createdAt: old },
        { ...key, key: 'new' },
      ],
    });
    const row = { channel: 'event', topic: 't', key: 'k', payload: {} };
    await wired.store.prisma.outboxEntry.createMany({
      data: [
        { ...row, status: 'delivered', deliveredAt: old },
        { ...row, createdAt: old },
      ],
    });
    await wired.producer.runNow('cleanup');
    await eventually(async () => expect(await wired.store.prisma.inboxEntry.count()).toBe(1), 15_000);
    await eventually(
      async () => expect(await wired.store.prisma.scheduledRun.count({ where: { job: 'cleanup', NOT: { lastRunAt: null } } })).toBe(1),
      15_000,
    );
    expect(await wired.store.prisma.idempotencyKey.findMany({ select: { key: true } })).toEqual([{ key: 'new' }]);
    expect(await wired.store.prisma.outboxEntry.findMany({ select: { status: true } })).toEqual([{ status: 'pending' }]);
  });
});

describe('the strategy', () => {
  it('that is stored is in force in a running process soon', async () => {
    const watch = await watchStrategy(wired.store, RESOURCE_BASED, logger);
    try {
      expect(watch.current().type).toBe('resource_based');
      await activateType(wired.store, 'round_robin');
      await eventually(() => expect(watch.current()).toEqual({ type: 'round_robin', config: {} }));
    } finally {
      await watch.close();
    }
  });
});
