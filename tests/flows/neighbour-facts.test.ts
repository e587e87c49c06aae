import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { type BillingServiceControl, startBillingService } from '../../dev/stand-ins/billing-service.ts';
import type { StandIn } from '../../dev/stand-ins/stand-in.ts';
import { startUserService, type UserServiceControl } from '../../dev/stand-ins/user-service.ts';
import { createBalanceClient } from '../../shared/clients/balance-client.ts';
import { createBalanceFacts } from '../../shared/clients/balance-facts.ts';
import { createBatchReader } from '../../shared/clients/batch-reader.ts';
import { createQuotaClient } from '../../shared/clients/quota-client.ts';
import { createQuotaFacts, type QuotaFacts } from '../../shared/clients/quota-facts.ts';
import { createLogger } from '../../shared/logger.ts';
import { eventually } from '../support/eventually.ts';
import { ENOUGH_MS, metricValue, openCaller, SERVICE_SECRET, type TestCaller } from '../support/neighbours.ts';
import { createTestPrefix, redisUrl } from '../support/redis.ts';

const CONTEXT = { deadlineMs: ENOUGH_MS };
const CACHE = 'scheduler_neighbour_cache_total';
const logger = createLogger('test', 'silent');

let users: StandIn<UserServiceControl>;
let billing: StandIn<BillingServiceControl>;
let space: ReturnType<typeof createTestPrefix>;
let toClose: (() => void)[] = [];

beforeAll(async () => {
  users = await startUserService({ port: 0, secret: SERVICE_SECRET });
  billing = await startBillingService({ port: 0, secret: SERVICE_SECRET });
});

afterAll(async () => {
  await users.close();
  await billing.close();
});

beforeEach(() => {
  space = createTestPrefix();
});

afterEach(async () => {
  for (const close of toClose) close();
  toClose = [];
  for (const { control } of [users, billing]) {
    control.heal();
    control.calls.clear();
  }
  users.control.setDefaultQuota({});
  await space.clean();
});

function openRedis(url = redisUrl()): Redis {
  const redis = new Redis(url, { maxRetriesPerRequest: 1, enableOfflineQueue: url === redisUrl() });
  redis.on('error', (error) => logger.debug({ err: error }, 'redis'));
  toClose.push(() => redis.disconnect());
  return redis;
}

/** Where nobody listens. */
const NO_REDIS = 'redis://127.0.0.1:1';

interface Process extends QuotaFacts {
  readonly redis: Redis;
  readonly caller: TestCaller;
}

/** What one process has: its own connection, breaker and cache. */
function openProcess(options: { ttlSeconds?: number; lastKnownOnError?: boolean; redis?: Redis; retries?: number } = {}): Process {
  const redis = options.redis ?? openRedis();
  const caller = openCaller('user', users.url, { retries: options.retries ?? 3 });
  toClose.push(caller.close);
  const { ttlSeconds = 60, lastKnownOnError = false } = options;
  const facts = createQuotaFacts({
    redis,
    prefix: space.prefix,
    client: createQuotaClient(caller),
    ttlSeconds,
    lastKnownOnError,
    metrics: caller.metrics,
    logger,
  });
  return { ...facts, redis, caller };
}

function lockKey(userId: string): string {
  return `${space.prefix}:cache:quota:lock:${userId}`;
}

describe('the quota of a user', () => {
  test('is asked for once, however many ask in however many processes', async () => {
    users.control.setQuota('u1', { limits: { maxDevices: 3 } });
    users.control.fail({ kind: 'slow', ms: 100 });
    const processes = [openProcess(), openProcess(), openProcess()];
    const facts = await Promise.all(processes.flatMap((process) => Array.from({ length: 50 }, () => process.quotaOf('u1', CONTEXT))));
    expect(new Set(facts.map((fact) => JSON.stringify(fact))).size).toBe(1);
    expect(facts[0]).toMatchObject({ kind: 'known', stale: false, quota: { limits: { maxDevices: 3 } } });
    expect(users.control.calls.count()).toBe(1);
  });

  test('is asked for again when its time is over', async () => {
    const process = openProcess({ ttlSeconds: 0.05 });
    await process.quotaOf('u2', CONTEXT);
    users.control.setQuota('u2', { limits: { maxDevices: 8 } });
    await eventually(async () => expect(await process.quotaOf('u2', CONTEXT)).toMatchObject({ quota: { limits: { maxDevices: 8 } } }));
  });

  test('that does not exist is remembered too', async () => {
    users.control.setQuota('nobody', 'none');
    const process = openProcess();
    expect(await process.quotaOf('nobody', CONTEXT)).toEqual({ kind: 'none' });
    expect(await openProcess().quotaOf('nobody', CONTEXT)).toEqual({ kind: 'none' });
    expect(users.control.calls.count()).toBe(1);
    expect(await metricValue(process.caller.metrics, CACHE, { cache: 'quota', result: 'miss' })).toBe(1);
  });

  test('is asked for again once it is forgotten', async () => {
    const process = openProcess();
    await process.quotaOf('u3', CONTEXT);
    users.control.setQuota('u3', { status: 'suspended' });
    await openProcess().forget('u3');
    expect(await process.quotaOf('u3', CONTEXT)).toMatchObject({ quota: { status: 'suspended' } });
  });

  test('is not stored when it is forgotten while it is fetched', async () => {
    users.control.setQuota('u4', { limits: { maxDevices: 1 } });
    users.control.fail({ kind: 'slow', ms: 150 }, { times: 1 });
    const process = openProcess();
    const before = process.quotaOf('u4', CONTEXT);
    await users.control.calls.reached(1);
    await process.forget('u4');
    users.control.setQuota('u4', { limits: { maxDevices: 2 } });
    expect(await process.quotaOf('u4', CONTEXT)).toMatchObject({ quota: { limits: { maxDevices: 2 } } });
    await before;
    expect(await process.quotaOf('u4', CONTEXT)).toMatchObject({ quota: { limits: { maxDevices: 2 } } });
  });

  test('is not asked for again by each who waited for a failed call', async () => {
    // So long it is remembered that it failed: half a second would be over before the last has asked.
    users.control.fail({ kind: 'status', status: 503, retryAfter: 5 });
    const processes = [openProcess({ retries: 0 }), openProcess({ retries: 0 })];
    const facts = await Promise.all(processes.flatMap((process) => Array.from({ length: 50 }, () => process.quotaOf('u5', CONTEXT))));
    expect(new Set(facts.map(({ kind }) => kind))).toEqual(new Set(['unavailable']));
    expect(users.control.calls.count()).toBe(1);
    users.control.heal();
    await eventually(async () => expect(await processes[0]?.quotaOf('u5', CONTEXT)).toMatchObject({ kind: 'known' }));
  });

  test('is the last known one on an outage, marked as such, where that is wanted; not when it has changed', async () => {
    users.control.setQuota('u6', { limits: { maxDevices: 4 } });
    const process = openProcess({ lastKnownOnError: true });
    await process.quotaOf('u6', CONTEXT);
    await process.redis.del(`${space.prefix}:cache:quota:fresh:u6`);
    users.control.fail({ kind: 'malformed' });
    expect(await process.quotaOf('u6', CONTEXT)).toMatchObject({ kind: 'known', stale: true, quota: { limits: { maxDevices: 4 } } });
    expect(await openProcess({ lastKnownOnError: false }).quotaOf('u6', CONTEXT)).toMatchObject({ kind: 'unavailable' });
    expect(await process.quotaOf('never seen', CONTEXT)).toMatchObject({ kind: 'unavailable' });
    await process.forget('u6');
    expect(await process.quotaOf('u6', CONTEXT)).toMatchObject({ kind: 'unavailable' });
  });

  test('is not waited for longer than the caller has, whoever is fetching', async () => {
    const process = openProcess();
    await process.redis.set(lockKey('u7'), 'somebody else', 'PX', 10_000);
    const started = performance.now();
    expect(await process.quotaOf('u7', { deadlineMs: 100 })).toEqual({ kind: 'unavailable', reason: 'no answer of user-service in time' });
    expect(performance.now() - started).toBeLessThan(8_000);
  });

  test('is fetched by another when the one who was fetching died', async () => {
    const process = openProcess();
    await process.redis.set(lockKey('u8'), 'somebody who died', 'PX', 100);
    expect(await process.quotaOf('u8', CONTEXT)).toMatchObject({ kind: 'known' });
  });

  test('is fetched without a cache when Redis is away', async () => {
    const process = openProcess({ redis: openRedis(NO_REDIS), lastKnownOnError: true });
    expect(await process.quotaOf('u9', CONTEXT)).toMatchObject({ kind: 'known' });
    expect(await metricValue(process.caller.metrics, CACHE, { cache: 'quota', result: 'error' })).toBeGreaterThan(0);
    await expect(process.forget('u9')).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
  });

  test.each(['no JSON', '7', '{}', '{"kind":"known"}', '{"kind":"known","quota":{}}', '{"kind":"unavailable"}', '{"kind":"odd"}'])(
    'is fetched anew when the cache holds %s',
    async (text) => {
      const process = openProcess();
      await process.redis.set(`${space.prefix}:cache:quota:fresh:u10`, text);
      expect(await process.quotaOf('u10', CONTEXT)).toMatchObject({ kind: 'known' });
    },
  );

  test('costs two hundred readers one command when it is cached, balances included', async () => {
    const redis = openRedis();
    const caller = openCaller('billing', billing.url);
    toClose.push(caller.close);
    const shared = { redis, prefix: space.prefix, reader: createBatchReader(redis), ttlSeconds: 60, metrics: caller.metrics, logger };
    const userCaller = openCaller('user', users.url);
    toClose.push(userCaller.close);
    const quotas = createQuotaFacts({ ...shared, client: createQuotaClient(userCaller), lastKnownOnError: false });
    const balances = createBalanceFacts({ ...shared, client: createBalanceClient(caller) });
    const readAll = () =>
      Promise.all(
        Array.from({ length: 100 }, (_, user) =>
          Promise.all([quotas.quotaOf(`u${user}`, CONTEXT), balances.balanceOf(`u${user}`, CONTEXT)]),
        ),
      );
    // A call that failed on a busy machine is not cached.
    await eventually(async () => {
      await readAll();
      expect(await redis.keys(`${space.prefix}:cache:*:fresh:*`)).toHaveLength(200);
    });
    const monitor = await redis.monitor();
    toClose.push(() => monitor.disconnect());
    const seen: string[][] = [];
    monitor.on('monitor', (_time: string, command: string[]) => {
      if (command.some((part) => part.startsWith(space.prefix))) seen.push(command);
    });
    await readAll();
    await redis.get(`${space.prefix}:end`);
    await eventually(() => expect(seen.at(-1)?.[0]).toBe('get'));
    expect(seen.map(([name]) => name)).toEqual(['mget', 'get']);
  });
});

describe('the balance of a user', () => {
  function openBalances(lastKnownOnError = false) {
    const caller = openCaller('billing', billing.url, { retries: 0 });
    toClose.push(caller.close);
    const redis = openRedis();
    const facts = createBalanceFacts({
      redis,
      prefix: space.prefix,
      client: createBalanceClient(caller),
      ttlSeconds: 30,
      lastKnownOnError,
      metrics: caller.metrics,
      logger,
    });
    return { ...facts, redis };
  }

  test.each(['active', 'normal', 'low'] as const)('allows an allocation when it is %s', async (status) => {
    billing.control.setBalance(status, { balance: '12.50', status });
    expect(await openBalances().balanceOf(status, CONTEXT)).toEqual({ kind: 'allowed', balance: '12.50', status });
  });

  test.each(['insufficient', 'frozen', 'suspended'] as const)('refuses an allocation when it is %s', async (status) => {
    billing.control.setBalance(status, { balance: -3, status });
    expect(await openBalances().balanceOf(status, CONTEXT)).toEqual({ kind: 'refused', balance: -3, status });
  });

  test('is a refusal when billing answers 402', async () => {
    billing.control.fail({ kind: 'status', status: 402 });
    expect(await openBalances().balanceOf('u1', CONTEXT)).toEqual({ kind: 'refused', status: 'insufficient', balance: 0 });
  });

  test.each([
    [{ kind: 'status', status: 404 }, 'billing-service answered 404'],
    [{ kind: 'status', status: 500 }, 'billing-service answered 500'],
    [{ kind: 'wrong-shape' }, 'malformed'],
  ] as const)('is unknown after %j', async (fault, reason) => {
    billing.control.fail(fault);
    expect(await openBalances().balanceOf('u2', CONTEXT)).toEqual({ kind: 'unavailable', reason: expect.stringContaining(reason) });
  });

  test('is the last known one on an outage, marked as such, where an outage lets everybody through; not when it has changed', async () => {
    const balances = openBalances(true);
    billing.control.setBalance('u6', { balance: -3, status: 'frozen' });
    await balances.balanceOf('u6', CONTEXT);
    await balances.redis.del(`${space.prefix}:cache:balance:fresh:u6`);
    expect(await balances.redis.pttl(`${space.prefix}:cache:balance:last:u6`)).toBeLessThanOrEqual(5 * 60_000);
    billing.control.fail({ kind: 'status', status: 500 });
    const stale = { kind: 'refused', status: 'frozen', balance: -3, stale: true };
    expect(await balances.balanceOf('u6', CONTEXT)).toEqual(stale);
    expect(await openBalances(false).balanceOf('u6', CONTEXT)).toMatchObject({ kind: 'unavailable' });
    await balances.forget('u6');
    expect(await balances.balanceOf('u6', CONTEXT)).toMatchObject({ kind: 'unavailable' });
  });

  test('is unknown when nobody answers in time', async () => {
    const balances = openBalances();
    await balances.redis.set(`${space.prefix}:cache:balance:lock:u3`, 'somebody else', 'PX', 10_000);
    expect(await balances.balanceOf('u3', { deadlineMs: 50 })).toEqual({
      kind: 'unavailable',
      reason: 'no answer of billing-service in time',
    });
  });

  test('is asked for once until it is forgotten', async () => {
    const balances = openBalances();
    await balances.balanceOf('u4', CONTEXT);
    await balances.balanceOf('u4', CONTEXT);
    expect(billing.control.calls.count('u4')).toBe(1);
    await balances.forget('u4');
    await balances.balanceOf('u4', CONTEXT);
    expect(billing.control.calls.count('u4')).toBe(2);
  });

  test.each(['7', '{}', '{"kind":"allowed"}', '{"kind":"unavailable"}'])('is fetched anew when the cache holds %s', async (text) => {
    const balances = openBalances();
    await balances.redis.set(`${space.prefix}:cache:balance:fresh:u5`, text);
    expect(await balances.balanceOf('u5', CONTEXT)).toMatchObject({ kind: 'allowed' });
  });
});
