import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type NotificationServiceControl, startNotificationService } from '../../dev/stand-ins/notification-service.ts';
import type { StandIn, StandInControl } from '../../dev/stand-ins/stand-in.ts';
import type { OutagePolicy } from '../../shared/allocation/facts.ts';
import { createBalanceClient } from '../../shared/clients/balance-client.ts';
import { createBalanceFacts } from '../../shared/clients/balance-facts.ts';
import { createBillingClient } from '../../shared/clients/billing-client.ts';
import type { CallerTuning } from '../../shared/clients/call.ts';
import { createNotificationClient, type NotificationClient } from '../../shared/clients/notification-client.ts';
import { createQuotaClient } from '../../shared/clients/quota-client.ts';
import { createQuotaFacts } from '../../shared/clients/quota-facts.ts';
import { createUsageClient } from '../../shared/clients/usage-client.ts';
import type { AllocationDependencies } from '../../workers/allocation/start-allocation.ts';
import { startDelivery } from '../../workers/delivery/start-delivery.ts';
import { ledgerStates, writeUsage } from '../support/delivery-bench.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { ENOUGH_MS, openCaller, SERVICE_SECRET, type TestCaller } from '../support/neighbours.ts';
import { outboxStates, writeOwed } from '../support/outbox-rows.ts';
import { openRelayBench } from '../support/relay-bench.ts';
import { type Wired, wire } from '../support/wire.ts';

const CROWD = 120;
/** Calls to one neighbour at a time. */
const PLACES = 6;
/** As in production, only shorter: a hanging call is given up after half a second, a breaker probes after another half. */
const TIMES = { timeoutMs: 500 };
const TUNING = { maxConcurrent: PLACES, openMs: 500 };
const STRICT: OutagePolicy = { quotaAllowOnError: false, fallbackMaxDevices: 1, billingAllowOnError: true };

let wired: Wired;
let notifications: StandIn<NotificationServiceControl>;
let callers: TestCaller[] = [];

beforeEach(async () => {
  wired = await wire({ allocationWorkers: 0 });
  notifications = await startNotificationService({ port: 0, secret: SERVICE_SECRET });
  await addDevices(wired.store, alike(CROWD + 10));
});
afterEach(async () => {
  for (const caller of callers) caller.close();
  callers = [];
  await notifications.close();
  await wired.close();
});

function open(name: 'user' | 'billing' | 'notification', url: string, tuning: Partial<CallerTuning> = TUNING, times = TIMES): TestCaller {
  const caller = openCaller(name, url, { ...times, tuning });
  callers.push(caller);
  return caller;
}

/** A worker with callers of its own, and what sends notices. */
function startWorker(changes: Partial<AllocationDependencies>, tuning: Partial<CallerTuning> = TUNING, times = TIMES): NotificationClient {
  const openOne = (name: 'user' | 'billing' | 'notification', url: string) => open(name, url, tuning, times);
  const { redis, prefix, metrics, allocation } = wired;
  const shared = { redis, prefix, metrics, logger: allocation.logger, ttlSeconds: 60 };
  wired.addAllocationWorker({
    quota: createQuotaFacts({ ...shared, client: createQuotaClient(openOne('user', wired.users.url)), lastKnownOnError: false }),
    balance: createBalanceFacts({ ...shared, client: createBalanceClient(openOne('billing', wired.billing.url)) }),
    outagePolicy: STRICT,
    concurrency: CROWD,
    ...changes,
  });
  return createNotificationClient(openOne('notification', notifications.url));
}

/** Longest wait for the words of neighbours before a decision, ms: theirs here is far shorter. */
const ANSWERED_WITHIN_MS = 8_000;

const controls = (): readonly StandInControl[] => [wired.users.control, wired.billing.control, notifications.control];
const hang = () => controls().forEach((control) => void control.fail({ kind: 'hang' }));
/** Everybody asks at once, and is answered within the bound. */
async function allocateAll() {
  const asked = performance.now();
  const outcomes = await Promise.all(Array.from({ length: CROWD }, () => wired.allocate(randomUUID())));
  expect(performance.now() - asked).toBeLessThan(ANSWERED_WITHIN_MS);
  return outcomes;
}

function notify(client: NotificationClient) {
  const notice = {
    userId: 'ann',
    type: 'device_released',
    title: 't',
    message: 'm',
    channels: ['websocket'],
    data: {},
    priority: 'normal',
  };
  return client.send(notice as Parameters<NotificationClient['send']>[0], randomUUID(), { deadlineMs: ENOUGH_MS });
}

/**
 * Nobody got more than the places there are. A connection that was given up may be seen to close after the next one was
 * opened: at any time at most one of each place.
 */
function expectBounded(): void {
  for (const control of controls()) {
    expect(control.connections().most).toBeGreaterThan(0);
    expect(control.connections().most).toBeLessThanOrEqual(2 * PLACES);
    // The breaker has left them alone: far fewer calls than there were who wanted one.
    expect(control.calls.count()).toBeLessThan(CROWD / 2);
  }
}

describe('while all three neighbours hang at once', () => {
  test('everybody is told so, few calls are made, and it recovers by itself', async () => {
    hang();
    const client = startWorker({});
    const [outcomes, sent] = await Promise.all([allocateAll(), Promise.all(Array.from({ length: CROWD }, () => notify(client)))]);
    expect(new Set(outcomes.map((outcome) => ('code' in outcome ? outcome.code : outcome.status)))).toEqual(new Set(['QUOTA_UNAVAILABLE']));
    expect(new Set(sent.map(({ kind }) => kind))).toEqual(new Set(['unavailable']));
    expectBounded();

    for (const control of controls()) control.heal();
    await eventually(async () => expect(await wired.allocate(randomUUID())).toMatchObject({ status: 'granted' }), 20_000);
    await eventually(async () => expect(await notify(client)).toMatchObject({ kind: 'ok' }), 20_000);
    // Billing is probed by the next who asks for a balance.
    await eventually(async () => {
      const outcome = await wired.allocate(randomUUID());
      if (outcome.status !== 'granted') throw new Error(JSON.stringify(outcome));
      const where = { id: outcome.allocation.allocationId };
      const checked = { quotaUnchecked: false, balanceUnchecked: false };
      expect(await wired.store.prisma.allocation.findUniqueOrThrow({ where })).toMatchObject(checked);
    }, 20_000);
    expect(callers.map((caller) => caller.state())).toEqual(['closed', 'closed', 'closed']);
    for (const control of controls()) expect(control.connections().open).toBeLessThanOrEqual(PLACES);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  test('everybody is granted a device where outages let people through, and each record says so', async () => {
    hang();
    const client = startWorker({ outagePolicy: { ...STRICT, quotaAllowOnError: true } });
    const [outcomes] = await Promise.all([allocateAll(), Promise.all(Array.from({ length: CROWD }, () => notify(client)))]);
    expect(outcomes.filter(({ status }) => status === 'granted')).toHaveLength(CROWD);
    expect(await wired.store.prisma.allocation.count({ where: { quotaUnchecked: true, balanceUnchecked: true } })).toBe(CROWD);
    expectBounded();
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  test('what they are owed waits in its rows, few calls are made, and it is delivered without a restart', async () => {
    const relays = await openRelayBench();
    const [bills] = await Promise.all([writeOwed(wired.store, 150), writeUsage(wired.store, CROWD)]);
    hang();
    const clients = {
      usage: createUsageClient(open('user', wired.users.url)),
      billing: createBillingClient(open('billing', wired.billing.url)),
    };
    const policy = { maxAttempts: 1_000, pause: { baseMs: 50, maxMs: 200 }, notAskedPauseMs: 100, leaseMs: 60_000, callMs: 5_000 };
    const { store, metrics, allocation } = wired;
    const shared = { store, metrics, policy, logger: allocation.logger, redisAddress: allocation.redisAddress };
    const worker = startDelivery({ ...shared, ...clients, prefix: relays.prefix });
    await relays.startRelay({ store, broker: { url: '' }, netMs: 20 });
    await eventually(() => expect(callers.map((caller) => caller.state())).toEqual(['open', 'open']));
    for (const { control } of [wired.users, wired.billing]) {
      expect(control.connections().most).toBeLessThanOrEqual(2 * PLACES);
      expect(control.calls.count()).toBeLessThan(CROWD / 2);
      control.heal();
    }
    expect(await outboxStates(store, 'usage')).toEqual({ pending: 2 * CROWD });
    expect(await ledgerStates(store)).toEqual({ owed: bills.length });
    await eventually(async () => expect(await outboxStates(store, 'usage')).toEqual({ delivered: 2 * CROWD }), 30_000);
    await eventually(async () => expect(await ledgerStates(store)).toEqual({ settled: bills.length }), 30_000);
    expect(wired.users.control.usageOf('ann')).toMatchObject({ devices: 0 });
    await worker.close();
    await relays.close();
  }, 90_000);

  test('billing that must be asked refuses with its own code', async () => {
    wired.billing.control.fail({ kind: 'hang' });
    // The user-service answers here, however slowly on a busy machine.
    startWorker({ outagePolicy: { ...STRICT, billingAllowOnError: false }, quota: wired.allocation.quota });
    const outcomes = await allocateAll();
    expect(new Set(outcomes.map((outcome) => ('code' in outcome ? outcome.code : outcome.status)))).toEqual(
      new Set(['BILLING_UNAVAILABLE']),
    );
  });

  test('without places and breaker each of the crowd would have a call of its own', async () => {
    hang();
    startWorker({}, { maxConcurrent: CROWD, leastCalls: 1_000_000 }, { timeoutMs: 2_500 });
    await allocateAll();
    expect(wired.users.control.connections().most).toBeGreaterThan(2 * PLACES);
    expect(wired.users.control.calls.count()).toBeGreaterThan(CROWD / 2);
  });
});
