import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Fault } from '../../dev/stand-ins/faults.ts';
import { createBalanceClient } from '../../shared/clients/balance-client.ts';
import { createBalanceFacts } from '../../shared/clients/balance-facts.ts';
import { createQuotaClient } from '../../shared/clients/quota-client.ts';
import { createQuotaFacts } from '../../shared/clients/quota-facts.ts';
import { loadConfig } from '../../shared/config.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { openCaller, type TestCaller } from '../support/neighbours.ts';
import { type Wired, wire } from '../support/wire.ts';

let wired: Wired;
const callers: TestCaller[] = [];
beforeAll(async () => {
  wired = await wire({ allocationWorkers: 0 });
  await addDevices(wired.store, alike(50));
  const caller = openCaller('user', wired.users.url, { retries: 0, timeoutMs: 3_000, tuning: { leastCalls: 1_000 } });
  const billingCaller = openCaller('billing', wired.billing.url, { retries: 0, timeoutMs: 3_000, tuning: { leastCalls: 1_000 } });
  callers.push(caller, billingCaller);
  const { redis, prefix, metrics, allocation } = wired;
  const shared = { redis, prefix, metrics, logger: allocation.logger, ttlSeconds: 60 };
  wired.addAllocationWorker({
    quota: createQuotaFacts({ ...shared, client: createQuotaClient(caller), lastKnownOnError: false }),
    balance: createBalanceFacts({ ...shared, client: createBalanceClient(billingCaller) }),
    outagePolicy: policyOf('false'),
  });
});
afterAll(async () => {
  for (const caller of callers) caller.close();
  await wired.close();
});

/** The policy the way a process gets it: from words of the environment. */
function policyOf(word: string) {
  const result = loadConfig({
    JWT_SECRET: 'x'.repeat(32),
    DASHBOARD_PASSWORD: 'x'.repeat(32),
    QUOTA_ALLOW_ON_ERROR: word,
    BILLING_ALLOW_ON_ERROR: word,
  });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  const { QUOTA_ALLOW_ON_ERROR, QUOTA_FALLBACK_MAX_DEVICES, BILLING_ALLOW_ON_ERROR } = result.config;
  return {
    quotaAllowOnError: QUOTA_ALLOW_ON_ERROR,
    fallbackMaxDevices: QUOTA_FALLBACK_MAX_DEVICES,
    billingAllowOnError: BILLING_ALLOW_ON_ERROR,
  };
}

describe('with QUOTA_ALLOW_ON_ERROR=false in the environment', () => {
  it.each<[string, Fault]>([
    ['answers 500', { kind: 'status', status: 500 }],
    ['limits us', { kind: 'status', status: 429, retryAfter: 60 }],
    ['answers no JSON', { kind: 'malformed' }],
    ['answers another shape', { kind: 'wrong-shape' }],
    ['hangs', { kind: 'hang' }],
    ['breaks the connection', { kind: 'reset' }],
  ])('a user-service that %s refuses with QUOTA_UNAVAILABLE', async (name, fault) => {
    wired.users.control.fail(fault);
    try {
      expect(await wired.allocate(`user ${name}`)).toMatchObject({ status: 'refused', code: 'QUOTA_UNAVAILABLE' });
    } finally {
      wired.users.control.heal();
    }
  });

  it.each<[string, Fault]>([
    ['answers 500', { kind: 'status', status: 500 }],
    ['answers no JSON', { kind: 'malformed' }],
    ['hangs', { kind: 'hang' }],
  ])('and BILLING_ALLOW_ON_ERROR=false, a billing-service that %s refuses with BILLING_UNAVAILABLE', async (name, fault) => {
    wired.billing.control.fail(fault);
    try {
      expect(await wired.allocate(`payer ${name}`)).toMatchObject({ status: 'refused', code: 'BILLING_UNAVAILABLE' });
    } finally {
      wired.billing.control.heal();
    }
  });

  it('a user without a quota is refused as such, not as an outage', async () => {
    wired.users.control.setQuota('nobody', 'none');
    expect(await wired.allocate('nobody')).toMatchObject({ status: 'refused', code: 'QUOTA_NOT_FOUND' });
  });

  it('one whose quota has ended or is suspended is refused as such', async () => {
    wired.users.control.setQuota('late', { validUntil: '2020-01-01T00:00:00Z' });
    wired.users.control.setQuota('held', { status: 'suspended' });
    expect(await wired.allocate('late')).toMatchObject({ code: 'QUOTA_EXPIRED' });
    expect(await wired.allocate('held')).toMatchObject({ code: 'USER_SUSPENDED' });
  });
});

describe('with QUOTA_ALLOW_ON_ERROR=true', () => {
  it('the last known limits hold during an outage, and the record says that nobody checked', async () => {
    const open = await wire({ allocation: { outagePolicy: policyOf('true') } });
    try {
      await addDevices(open.store, alike(5));
      open.users.control.setQuota('ann', { limits: { maxDevices: 2 } });
      await open.allocate('ann');
      open.users.control.fail({ kind: 'status', status: 500 });
      await open.redis.del(...(await open.redis.keys(`${open.prefix}:cache:quota:*`)));
      expect(await open.allocate('ann')).toMatchObject({ status: 'granted' });
      expect(await open.allocate('ann')).toMatchObject({ code: 'QUOTA_EXCEEDED', details: { max: 2, current: 2 } });
      expect(await open.store.prisma.allocation.count({ where: { quotaUnchecked: true } })).toBe(1);
    } finally {
      await open.close();
    }
  });

  it('nobody whose limits were never known holds more than the fallback, and a balance nobody could read is no hindrance', async () => {
    const open = await wire({ allocation: { outagePolicy: policyOf('true') } });
    try {
      await addDevices(open.store, alike(3));
      open.users.control.fail({ kind: 'status', status: 500 });
      open.billing.control.fail({ kind: 'status', status: 500 });
      const { fallbackMaxDevices } = policyOf('true');
      for (let held = 0; held < fallbackMaxDevices; held += 1) expect(await open.allocate('new')).toMatchObject({ status: 'granted' });
      expect(await open.allocate('new')).toMatchObject({ code: 'QUOTA_EXCEEDED', details: { max: fallbackMaxDevices } });
      const unchecked = await open.store.prisma.allocation.count({ where: { quotaUnchecked: true, balanceUnchecked: true } });
      expect(unchecked).toBe(fallbackMaxDevices);
    } finally {
      await open.close();
    }
  });
});
