import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { UnrecoverableError } from 'bullmq';
import { createProducer } from '../../queues/producer.ts';
import { batchKey, createBillingClient } from '../../shared/clients/billing-client.ts';
import { createLogger } from '../../shared/logger.ts';
import { closeRedis } from '../../shared/run/redis.ts';
import { claimBills } from '../../shared/store/ledger.ts';
import { claimUsageReports } from '../../shared/store/usage-reports.ts';
import { deliverBilling } from '../../workers/delivery/deliver-billing.ts';
import { deliverUsage } from '../../workers/delivery/deliver-usage.ts';
import { deliveryHandlers } from '../../workers/delivery/handlers.ts';
import { LOST_AFTER_MS } from '../../workers/relay/hand-out.ts';
import { type DeliveryBench, ledgerStates, openDeliveryBench, usageIds, writeUsage } from '../support/delivery-bench.ts';
import { eventually } from '../support/eventually.ts';
import { metricValue, openCaller } from '../support/neighbours.ts';
import { openRedis } from '../support/open-redis.ts';
import { outboxStates, writeOwed } from '../support/outbox-rows.ts';
import { createTestPrefix } from '../support/redis.ts';
import { openRelayBench, type RelayBench } from '../support/relay-bench.ts';

const GOING_ON = new AbortController().signal;
const NO_USE = { devices: 0, cpuCores: 0, memoryGB: 0, storageGB: 0 };
const BATCH = '/device-usage/batch';

let bench: DeliveryBench;

beforeEach(async () => {
  bench = await openDeliveryBench();
});

afterEach(async () => {
  await bench.close();
});

/** What the user-service counted, by allocation, in the order it came. */
function operationsByAllocation(): string[][] {
  const keys = bench.users.control.counted().map((key) => key.split(':'));
  return [...Map.groupBy(keys, ([allocationId]) => allocationId).values()].map((rows) => rows.map(([, operation = '']) => operation));
}

async function usageRow(id: string | undefined) {
  return bench.store.prisma.outboxEntry.findUniqueOrThrow({ where: { id: BigInt(id ?? '0') } });
}

/** Time goes on until the next bill is due, and no further. */
async function untilTheFirstIsDue(): Promise<void> {
  await bench.store.prisma.$executeRaw`
    UPDATE ledger SET next_attempt_at = next_attempt_at - (SELECT greatest(min(next_attempt_at) - now(), interval '0') FROM ledger WHERE status = 'owed')
    WHERE status = 'owed'`;
}

describe('a report of use', () => {
  test('is delivered before the one that takes it back, by one wake-up for the first', async () => {
    await writeUsage(bench.store, 20);
    const heads = (await usageIds(bench.store)).slice(0, 20);
    expect(await deliverUsage(bench.deps(), heads, GOING_ON)).toEqual({ delivered: 40, failed: 0, dead: 0, givenBack: 0 });
    expect(operationsByAllocation()).toEqual(Array.from({ length: 20 }, () => ['increment', 'decrement']));
    expect(bench.users.control.usageOf('ann')).toEqual(NO_USE);
    expect(await outboxStates(bench.store, 'usage')).toEqual({ delivered: 40 });
    expect(await metricValue(bench.metrics, 'scheduler_deliveries_total', { kind: 'usage', outcome: 'delivered' })).toBe(40);
  });

  test('carries its size, and its allocation in the key', async () => {
    const [allocationId] = await writeUsage(bench.store, 1, false);
    await deliverUsage(bench.deps(), await usageIds(bench.store), GOING_ON);
    const [call] = bench.users.control.calls.to('/usage');
    expect(call?.path).toBe('/internal/quotas/user/ann/usage');
    expect(call?.headers['idempotency-key']).toBe(`${allocationId}:increment`);
    expect(call?.body).toEqual({ deviceId: allocationId, cpuCores: 2, memoryGB: 1.5, storageGB: 16, operation: 'increment' });
  });

  test('is not taken while an earlier one of its allocation is open', async () => {
    await writeUsage(bench.store, 1);
    const [, decrement = ''] = await usageIds(bench.store);
    expect(await claimUsageReports(bench.store, [decrement], 1_000)).toEqual([]);
  });

  test('is taken by one of two workers', async () => {
    await writeUsage(bench.store, 50, false);
    const ids = await usageIds(bench.store);
    const claims = await Promise.all([claimUsageReports(bench.store, ids, 60_000), claimUsageReports(bench.store, ids, 60_000)]);
    expect(
      claims
        .flat()
        .map(({ id }) => id)
        .sort(),
    ).toEqual([...ids].sort());
    expect(await claimUsageReports(bench.store, ids, 60_000)).toEqual([]);
  });

  test('is taken again when the worker who took it is not heard of', async () => {
    await writeUsage(bench.store, 1, false);
    const ids = await usageIds(bench.store);
    expect(await claimUsageReports(bench.store, ids, 0)).toHaveLength(1);
    expect(await deliverUsage(bench.deps(), ids, GOING_ON)).toMatchObject({ delivered: 1 });
  });

  test('counts once although its answer was lost', async () => {
    await writeUsage(bench.store, 10, false);
    bench.users.control.fail({ kind: 'lost-answer' }, { times: 10 });
    const ids = await usageIds(bench.store);
    const deps = bench.deps();
    expect(await deliverUsage(deps, ids, GOING_ON)).toMatchObject({ delivered: 0, failed: 10 });
    expect(await deliverUsage(bench.deps(), ids, GOING_ON)).toMatchObject({ delivered: 10 });
    expect(bench.users.control.usageOf('ann')).toMatchObject({ devices: 10, cpuCores: 20 });
    expect(bench.users.control.repeats()).toBe(10);
  });

  test.each([400, 409, 500])('is a dead letter after its last attempt, answered %i each time, and holds back the next', async (status) => {
    await writeUsage(bench.store, 1);
    bench.users.control.fail({ kind: 'status', status });
    const [increment = '', decrement = ''] = await usageIds(bench.store);
    const deps = bench.deps({ maxAttempts: 3 });
    for (const dead of [0, 0, 1]) expect(await deliverUsage(deps, [increment], GOING_ON)).toMatchObject({ failed: 1 - dead, dead });
    expect(await usageRow(increment)).toMatchObject({ status: 'dead', attempts: 3, lastError: `user-service answered ${status}` });
    bench.users.control.heal();
    expect(await deliverUsage(deps, [increment, decrement], GOING_ON)).toMatchObject({ delivered: 0 });
    expect(bench.users.control.usageOf('ann')).toEqual(NO_USE);
  });

  test('waits longer after each failure, and at least as long as it was told', async () => {
    await writeUsage(bench.store, 2, false);
    const [first = '', second = ''] = await usageIds(bench.store);
    const deps = bench.deps({ pause: { baseMs: 60_000, maxMs: 600_000 } });
    bench.users.control.fail({ kind: 'status', status: 503, retryAfter: 300 }, { times: 1 });
    await deliverUsage(deps, [first], GOING_ON);
    bench.users.control.fail({ kind: 'status', status: 500 }, { times: 1 });
    await deliverUsage(deps, [second], GOING_ON);
    const waits = [await usageRow(first), await usageRow(second)].map(({ nextAttemptAt }) => (nextAttemptAt.getTime() - Date.now()) / 1000);
    expect(waits[0]).toBeGreaterThan(290);
    expect(waits[1]).toBeGreaterThan(25);
    expect(waits[1]).toBeLessThan(65);
    expect(await deliverUsage(deps, [first, second], GOING_ON)).toMatchObject({ delivered: 0, failed: 0 });
  });

  test('does not lose an attempt while the breaker is open', async () => {
    await writeUsage(bench.store, 12, false);
    const ids = await usageIds(bench.store);
    bench.users.control.fail({ kind: 'status', status: 500 });
    const deps = bench.deps();
    await deliverUsage(deps, ids, GOING_ON);
    expect(await deliverUsage(deps, ids, GOING_ON)).toEqual({ delivered: 0, failed: 0, dead: 0, givenBack: 12 });
    expect(bench.users.control.calls.count()).toBe(12);
    expect((await Promise.all(ids.map(usageRow))).map(({ attempts }) => attempts)).toEqual(ids.map(() => 1));
  });

  test('is left alone by a job that has to end', async () => {
    await writeUsage(bench.store, 1, false);
    expect(await deliverUsage(bench.deps(), await usageIds(bench.store), AbortSignal.abort())).toMatchObject({ delivered: 0 });
    expect(await outboxStates(bench.store, 'usage')).toEqual({ pending: 1 });
  });
});

describe('a bill', () => {
  test('is booked with a hundred others in one call, to the second', async () => {
    const ids = await writeOwed(bench.store, 100);
    expect(await deliverBilling(bench.deps(), ids, GOING_ON)).toEqual({ delivered: 100, failed: 0, dead: 0, givenBack: 0 });
    expect(bench.billing.control.calls.count()).toBe(1);
    expect(bench.billing.control.records().map(({ duration }) => duration)).toEqual(ids.map(() => 600));
    expect(await ledgerStates(bench.store)).toEqual({ settled: 100 });
    const [call] = bench.billing.control.calls.to(BATCH);
    expect(call?.headers['idempotency-key']).toBe(batchKey(ids));
  });

  test('is booked once although the answer was lost, in the same batch under the same key', async () => {
    const ids = await writeOwed(bench.store, 30);
    bench.billing.control.fail({ kind: 'lost-answer' }, { times: 1 });
    expect(await deliverBilling(bench.deps(), ids, GOING_ON)).toMatchObject({ delivered: 0, failed: 30 });
    const others = await writeOwed(bench.store, 10);
    // The next wake-up names but one of the batch, together with newer ones.
    expect(await deliverBilling(bench.deps(), [...ids.slice(0, 1), ...others], GOING_ON)).toMatchObject({ delivered: 40 });
    const keys = bench.billing.control.calls.to(BATCH).map(({ headers }) => headers['idempotency-key']);
    expect(keys.toSorted()).toEqual([batchKey(ids), batchKey(ids), batchKey(others)].toSorted());
    expect([bench.billing.control.repeats(), bench.billing.control.reshuffled(), bench.billing.control.records().length]).toEqual([
      30, 0, 40,
    ]);
  });

  test('that was refused before comes again in the same batch as well, whenever the others are due', async () => {
    const deps = bench.deps({ pause: { baseMs: 60_000, maxMs: 600_000 } });
    const [refused = ''] = await writeOwed(bench.store, 1);
    bench.billing.control.refuseItem(refused);
    expect(await deliverBilling(deps, [refused], GOING_ON)).toMatchObject({ failed: 1 });
    bench.billing.control.acceptItem(refused);
    await untilTheFirstIsDue();
    const ids = [refused, ...(await writeOwed(bench.store, 2))];
    bench.billing.control.fail({ kind: 'lost-answer' }, { times: 2 });
    expect(await deliverBilling(deps, ids, GOING_ON)).toMatchObject({ failed: 3 });
    await untilTheFirstIsDue();
    await deliverBilling(deps, ids, GOING_ON);
    await untilTheFirstIsDue();
    await deliverBilling(deps, ids, GOING_ON);
    expect(await ledgerStates(bench.store)).toEqual({ settled: 3 });
    const [, ...keys] = bench.billing.control.calls.to(BATCH).map(({ headers }) => String(headers['idempotency-key']));
    expect([...Map.groupBy(keys, (key) => key).values()].map(({ length }) => length)).toEqual([2, 2]);
  });

  test('is sent again in the batch it was in when the worker who took it is not heard of', async () => {
    const ids = await writeOwed(bench.store, 3);
    const [taken] = await claimBills(bench.store, ids, 0);
    expect(taken?.bills).toHaveLength(3);
    expect(await deliverBilling(bench.deps(), ids.slice(0, 1), GOING_ON)).toMatchObject({ delivered: 3 });
    expect(await ledgerStates(bench.store)).toEqual({ settled: 3 });
    expect(await bench.store.prisma.ledgerEntry.groupBy({ by: ['batchId'] })).toEqual([{ batchId: taken?.batchId }]);
  });

  test('that is refused does not hold up its batch', async () => {
    const ids = await writeOwed(bench.store, 3);
    const [bad = ''] = ids;
    bench.billing.control.refuseItem(bad);
    const deps = bench.deps();
    expect(await deliverBilling(deps, ids, GOING_ON)).toMatchObject({ delivered: 2, failed: 1 });
    expect(await bench.store.prisma.ledgerEntry.findUniqueOrThrow({ where: { allocationId: bad } })).toMatchObject({
      status: 'owed',
      attempts: 1,
      batchId: null,
      lastError: 'billing-service answered rejected for the item',
    });
    bench.billing.control.acceptItem(bad);
    expect(await deliverBilling(deps, ids, GOING_ON)).toMatchObject({ delivered: 1, failed: 0 });
  });

  test.each([404, 405] as const)('goes alone where the batch route answers %i, and the route is not tried again', async (missing) => {
    const ids = await writeOwed(bench.store, 5);
    bench.billing.control.setBatchRoute(missing);
    const deps = bench.deps();
    expect(await deliverBilling(deps, ids.slice(0, 3), GOING_ON)).toMatchObject({ delivered: 3 });
    expect(await deliverBilling(deps, ids.slice(3), GOING_ON)).toMatchObject({ delivered: 2 });
    expect(bench.billing.control.calls.count(BATCH)).toBe(1);
    expect(
      bench.billing.control.calls
        .to('/device-usage')
        .slice(1)
        .map(({ headers }) => headers['idempotency-key'])
        .sort(),
    ).toEqual(ids.sort());
    expect(bench.billing.control.records()).toHaveLength(5);
  });

  test.each([
    ['as rejected', { status: 'rejected' }],
    ['about another allocation', { allocationId: 'another', status: 'recorded' }],
    ['with something that is no object', ['recorded']],
  ])('answered %s is not taken for booked', async (_what, body) => {
    const server = createServer((request, response) => {
      request.resume();
      response.writeHead(request.url?.endsWith('/batch') === true ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const caller = openCaller('billing', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const ids = await writeOwed(bench.store, 1);
    const deps = { ...bench.deps(), billing: createBillingClient(caller) };
    expect(await deliverBilling(deps, ids, GOING_ON)).toMatchObject({ delivered: 0, failed: 1 });
    expect(await ledgerStates(bench.store)).toEqual({ owed: 1 });
    caller.close();
    await new Promise((resolve) => server.close(resolve));
  });

  test('that is refused alone is tried again', async () => {
    const [id = ''] = await writeOwed(bench.store, 1);
    bench.billing.control.setBatchRoute(404);
    bench.billing.control.refuseItem(id);
    expect(await deliverBilling(bench.deps(), [id], GOING_ON)).toMatchObject({ failed: 1 });
    bench.billing.control.acceptItem(id);
    expect(await deliverBilling(bench.deps(), [id], GOING_ON)).toMatchObject({ delivered: 1 });
  });

  test('left out of the answer is not taken for booked', async () => {
    const ids = await writeOwed(bench.store, 2);
    bench.billing.control.fail({ kind: 'wrong-shape' }, { times: 1 });
    expect(await deliverBilling(bench.deps(), ids, GOING_ON)).toMatchObject({ failed: 2 });
    expect(await ledgerStates(bench.store)).toEqual({ owed: 2 });
  });

  test.each([400, 413, 500])('is a dead letter after its last attempt, answered %i each time', async (status) => {
    const ids = await writeOwed(bench.store, 2);
    bench.billing.control.fail({ kind: 'status', status });
    const deps = bench.deps({ maxAttempts: 3 });
    for (const dead of [0, 0, 2]) expect(await deliverBilling(deps, ids, GOING_ON)).toMatchObject({ failed: 2 - dead, dead });
    expect(await ledgerStates(bench.store)).toEqual({ dead: 2 });
    expect(await metricValue(bench.metrics, 'scheduler_deliveries_total', { kind: 'billing', outcome: 'dead' })).toBe(2);
    bench.billing.control.heal();
    expect(await deliverBilling(deps, ids, GOING_ON)).toMatchObject({ delivered: 0 });
  });

  test('is in one batch only, whoever claims it at the same time', async () => {
    const ids = await writeOwed(bench.store, 60);
    const claims = await Promise.all([1, 2, 3].map(() => claimBills(bench.store, ids, 60_000)));
    const batches = claims.flat();
    expect(batches).toHaveLength(1);
    expect(batches[0]?.bills.map(({ allocationId }) => allocationId).sort()).toEqual(ids.sort());
  });

  test('is given back by a job that has to end, without losing an attempt', async () => {
    const ids = await writeOwed(bench.store, 1);
    expect(await deliverBilling(bench.deps(), ids, AbortSignal.abort())).toMatchObject({ givenBack: 1 });
    expect(await bench.store.prisma.ledgerEntry.findFirst()).toMatchObject({ status: 'owed', attempts: 0 });
  });
});

describe('deliveries through the queue', () => {
  let relayBench: RelayBench;

  beforeEach(async () => {
    relayBench = await openRelayBench();
  });

  afterEach(async () => {
    await relayBench.close();
  });

  test('arrive exactly once in effect with two workers, lost answers and outages in between', async () => {
    await writeUsage(bench.store, 60);
    const owed = await writeOwed(bench.store, 150);
    for (const { control } of [bench.users, bench.billing]) {
      control.fail({ kind: 'lost-answer' }, { times: 2 });
      control.fail({ kind: 'status', status: 503 }, { times: 1 });
      control.fail({ kind: 'malformed' }, { times: 1 });
    }
    await relayBench.startRelay({ store: bench.store, netMs: 20 });
    for (const _worker of [1, 2]) bench.startWorker(relayBench.prefix, { maxAttempts: 100 });
    // A row that is due again before its job has ended is handed out once more when it is taken for lost, after half a minute.
    const patienceMs = LOST_AFTER_MS + 30_000;
    await eventually(async () => expect(await outboxStates(bench.store, 'usage')).toEqual({ delivered: 120 }), patienceMs);
    await eventually(async () => expect(await ledgerStates(bench.store)).toEqual({ settled: 150 }), patienceMs);
    expect(bench.users.control.usageOf('ann')).toEqual(NO_USE);
    expect(operationsByAllocation()).toEqual(Array.from({ length: 60 }, () => ['increment', 'decrement']));
    expect(bench.billing.control.records().reduce((sum, { duration }) => sum + duration, 0)).toBe(owed.length * 600);
    expect(bench.billing.control.reshuffled()).toBe(0);
  }, 180_000);
});

describe('deliveries to two neighbours', () => {
  test('that takes its bills slowly keeps no report of use waiting', async () => {
    const { prefix, clean } = createTestPrefix();
    const redis = await openRedis('producer');
    const producer = createProducer({ redis, prefix, maxWaitingJobs: 1_000, logger: createLogger('test', 'silent') });
    const bills = await writeOwed(bench.store, 8);
    await writeUsage(bench.store, 1, false);
    bench.billing.control.fail({ kind: 'hang' });
    bench.startWorker(prefix);
    await producer.deliver(bills.map((id) => ({ kind: 'billing', ids: [id] })));
    await eventually(() => expect(bench.billing.control.calls.count()).toBe(4));
    await producer.deliver([{ kind: 'usage', ids: await usageIds(bench.store) }]);
    await eventually(async () => expect(await outboxStates(bench.store, 'usage')).toEqual({ delivered: 1 }));
    // The first four bills are still under way.
    expect(bench.billing.control.calls.count()).toBe(4);
    bench.billing.control.heal();
    await producer.close();
    closeRedis(redis);
    await clean();
  });
});

describe('a wake-up', () => {
  const context = { id: '1', name: '', attempt: 1, signal: GOING_ON };

  test('that names no rows, or rows of another kind, is poison', async () => {
    const handlers = deliveryHandlers(bench.deps());
    await expect(handlers['deliver-usage']({ kind: 'usage', ids: [] }, context)).rejects.toThrow(UnrecoverableError);
    await expect(handlers['deliver-billing']({ kind: 'usage', ids: ['1'] }, context)).rejects.toThrow(UnrecoverableError);
  });

  test('for rows that are gone does nothing', async () => {
    const handlers = deliveryHandlers(bench.deps());
    const nothing = { delivered: 0, failed: 0, dead: 0, givenBack: 0 };
    expect(await handlers['deliver-usage']({ kind: 'usage', ids: ['4711'] }, context)).toEqual(nothing);
    expect(await handlers['deliver-billing']({ kind: 'billing', ids: [crypto.randomUUID()] }, context)).toEqual(nothing);
  });
});
