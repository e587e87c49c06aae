import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type NotificationServiceControl, startNotificationService } from '../../dev/stand-ins/notification-service.ts';
import type { StandIn, StandInControl } from '../../dev/stand-ins/stand-in.ts';
import type { OutagePolicy } from '../../shared/allocation/facts.ts';
import { createBalanceClient } from '../../shared/clients/balance-client.ts';
import { createBalanceFacts } from '../../shared/clients/balance-facts.ts';
import type { CallerTuning } from '../../shared/clients/call.ts';
import { createNotificationClient, type NotificationClient } from '../../shared/clients/notification-client.ts';
import { createQuotaClient } from '../../shared/clients/quota-client.ts';
import { createQuotaFacts } from '../../shared/clients/quota-facts.ts';
import type { AllocationDependencies } from '../../workers/allocation/start-allocation.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { ENOUGH_MS, openCaller, SERVICE_SECRET, type TestCaller } from '../support/neighbours.ts';
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

/** A worker with callers of its own, and what sends notices. */
function startWorker(changes: Partial<AllocationDependencies>, tuning: Partial<CallerTuning> = TUNING, times = TIMES): NotificationClient {
  const open = (name: 'user' | 'billing' | 'notification', url: string) => {
    const caller = openCaller(name, url, { ...times, tuning });
    callers.push(caller);
    return caller;
  };
  const { redis, prefix, metrics, allocation } = wired;
  const shared = { redis, prefix, metrics, logger: allocation.logger, ttlSeconds: 60 };
  wired.addAllocationWorker({
    quota: createQuotaFacts({ ...shared, client: createQuotaClient(open('user', wired.users.url)), lastKnownOnError: false }),
    balance: createBalanceFacts({ ...shared, client: createBalanceClient(open('billing', wired.billing.url)) }),
    outagePolicy: STRICT,
    concurrency: CROWD,
    ...changes,
  });
  return createNotificationClient(open('notification', notifications.url));
}

const controls = (): readonly StandInControl[] => [wired.users.control, wired.billing.control, notifications.control];
const hang = () => controls().forEach((control) => void control.fail({ kind: 'hang' }));
const allocateAll = () => Promise.all(Array.from({ length: CROWD }, () => wired.allocate(randomUUID())));

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
