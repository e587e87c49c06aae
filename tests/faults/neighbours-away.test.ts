import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { END_REASONS, type EndReason } from '../../shared/allocation/end-reason.ts';
import { createBillingClient } from '../../shared/clients/billing-client.ts';
import { createUsageClient } from '../../shared/clients/usage-client.ts';
import { createLogger } from '../../shared/logger.ts';
import { endAllocations } from '../../shared/store/end-allocations.ts';
import type { DeliveryPolicy } from '../../workers/delivery/delivery-deps.ts';
import { startDelivery } from '../../workers/delivery/start-delivery.ts';
import { ledgerStates } from '../support/delivery-bench.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { openCaller } from '../support/neighbours.ts';
import { type NoticeBench, openNoticeBench } from '../support/notice-bench.ts';
import { redisAddress } from '../support/open-redis.ts';
import { outboxStates } from '../support/outbox-rows.ts';
import { openRelayBench, type RelayBench } from '../support/relay-bench.ts';
import { type Wired, wire } from '../support/wire.ts';

const PATIENCE_MS = 45_000;
/** Breakers look again soon, so that a test needs no patience; everything else is as in production. */
const TUNING = { openMs: 100 };
const POLICY: DeliveryPolicy = {
  maxAttempts: 10_000,
  pause: { baseMs: 20, maxMs: 200 },
  notAskedPauseMs: 50,
  leaseMs: 60_000,
  callMs: 5_000,
};
const EACH = 4;

let wired: Wired;
let relays: RelayBench;
let notices: NoticeBench;
const closers: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  wired = await wire();
  relays = await openRelayBench();
  notices = await openNoticeBench(wired.store, relays.prefix);
});

afterAll(async () => {
  for (const close of closers.reverse()) await close();
  await notices.close();
  await relays.close();
  await wired.close();
});

const db = () => wired.store.prisma;

/** Everything that tells the neighbours, twice. */
async function startTelling(): Promise<void> {
  await relays.startRelay({ store: wired.store, broker: { url: '' } });
  for (const _worker of [1, 2]) {
    const callers = [openCaller('user', wired.users.url, { tuning: TUNING }), openCaller('billing', wired.billing.url, { tuning: TUNING })];
    const [users, billing] = callers;
    if (users === undefined || billing === undefined) throw new Error('there are two callers');
    const clients = { usage: createUsageClient(users), billing: createBillingClient(billing) };
    const shared = { store: wired.store, policy: POLICY, metrics: wired.metrics, logger: createLogger('test', 'silent') };
    const worker = startDelivery({ ...shared, ...clients, redisAddress: redisAddress(), prefix: relays.prefix });
    closers.push(...callers.map(({ close }) => close), worker.close);
    notices.startWorker({ policy: POLICY, perMinute: 100_000, tuning: TUNING });
  }
}

/** Allocations that began some time ago, a different one for each. @returns their ids */
async function hold(count: number): Promise<string[]> {
  await addDevices(wired.store, alike(count));
  const ids: string[] = [];
  for (let number = 0; number < count; number += 1) {
    const outcome = await wired.allocate(`user-${number % 7}`);
    if (outcome.status !== 'granted') throw new Error(`expected a grant, got ${JSON.stringify(outcome)}`);
    ids.push(outcome.allocation.allocationId);
  }
  await wired.store.transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await tx.$executeRaw`
      UPDATE allocations a SET allocated_at = a.allocated_at - x.ago, expires_at = a.expires_at - x.ago
      FROM (SELECT id, make_interval(secs => 61.7 * position) AS ago FROM unnest(${ids}::uuid[]) WITH ORDINALITY AS asked(id, position)) x WHERE a.id = x.id`;
  });
  return ids;
}

async function end(allocationId: string, reason: EndReason): Promise<void> {
  await wired.store.transaction(async (tx) => {
    if (reason === 'expired')
      await tx.$executeRaw`UPDATE allocations SET expires_at = now() - interval '1 second' WHERE id = ${allocationId}::uuid`;
    await endAllocations(tx, [{ allocationId, reason }], { cleaningSeconds: 0 });
  });
}

async function heldSeconds(): Promise<number> {
  const [row] = await db().$queryRaw<
    { seconds: number }[]
  >`SELECT sum(floor(extract(epoch FROM ended_at - allocated_at)))::int AS seconds FROM allocations WHERE ended_at IS NOT NULL`;
  return row?.seconds ?? 0;
}

const billed = () => wired.billing.control.records();
const settled = async () => (await ledgerStates(wired.store))['settled'] ?? 0;

describe('neighbours that are away all the time', () => {
  test('hold up nobody, and know everything once they are back, once and to the second, however they answer', async () => {
    await wired.billing.control.refuse();
    await notices.service.control.refuse();
    wired.users.control.fail({ kind: 'status', status: 503 }, { path: '/usage' });
    await startTelling();

    const ids = await hold(END_REASONS.length * EACH);
    for (const [index, id] of ids.entries()) await end(id, END_REASONS[index % END_REASONS.length] ?? 'released');
    expect(await ledgerStates(wired.store)).toEqual({ owed: ids.length });
    // Not each of them: a neighbour that keeps failing is left alone, and most are given back unasked.
    await eventually(
      async () => expect(await db().ledgerEntry.count({ where: { lastError: { not: null } } })).toBeGreaterThan(0),
      PATIENCE_MS,
    );
    await eventually(() => expect(wired.users.control.calls.count('/usage')).toBeGreaterThan(0), PATIENCE_MS);
    expect(billed()).toEqual([]);

    // Back, with what may go wrong on the way: answers lost after success, items refused, and no batch route any more.
    const refused = ids.slice(0, 5);
    for (const id of refused) wired.billing.control.refuseItem(id);
    for (const { control } of [wired.billing, notices.service]) {
      control.fail({ kind: 'lost-answer' }, { times: 2 });
      control.fail({ kind: 'malformed' }, { times: 1 });
      await control.accept();
    }
    wired.users.control.heal();
    wired.users.control.fail({ kind: 'lost-answer' }, { times: 5, path: '/usage' });
    await eventually(async () => expect(await settled()).toBe(ids.length - refused.length), PATIENCE_MS);
    wired.billing.control.setBatchRoute(404);
    for (const id of refused) wired.billing.control.acceptItem(id);
    await eventually(async () => expect(await settled()).toBe(ids.length), PATIENCE_MS);

    expect(new Set(billed().map(({ allocationId }) => allocationId))).toEqual(new Set(ids));
    expect(billed().reduce((sum, { duration }) => sum + duration, 0)).toBe(await heldSeconds());
    expect(wired.billing.control.repeats()).toBeGreaterThan(0);
    expect(wired.billing.control.reshuffled()).toBe(0);

    await eventually(async () => expect(await outboxStates(wired.store, 'usage')).toEqual({ delivered: 2 * ids.length }), PATIENCE_MS);
    expect(wired.users.control.counted()).toHaveLength(2 * ids.length);
    for (const number of [0, 1, 2, 3, 4, 5, 6])
      expect(wired.users.control.usageOf(`user-${number}`)).toMatchObject({ devices: 0, cpuCores: 0 });

    const told = await db().outboxEntry.count({ where: { channel: 'notice' } });
    await eventually(async () => expect(await outboxStates(wired.store, 'notice')).toEqual({ delivered: told }), PATIENCE_MS);
    expect(notices.service.control.sent()).toHaveLength(told);
    expect(told).toBeGreaterThanOrEqual(2 * ids.length - EACH);
    expect(await readInvariants(wired.store)).toEqual([]);
  }, 120_000);
});
