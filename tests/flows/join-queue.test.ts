import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { SchedulerClient } from '../../queues/client.ts';
import { QUEUES } from '../../queues/names.ts';
import type { Store } from '../../shared/store/store.ts';
import { startWaitlist } from '../../workers/waitlist/start-waitlist.ts';
import { Killed } from '../support/dying-store.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { redisUrl } from '../support/redis.ts';
import { type Wired, wire } from '../support/wire.ts';

const PATIENCE = { timeoutMs: 20_000 };

let wired: Wired;
let client: SchedulerClient;
beforeAll(async () => {
  wired = await wire();
});
afterAll(() => wired.close());
beforeEach(() => {
  client = new SchedulerClient({ redis: { url: redisUrl() }, service: 'shop', prefix: wired.prefix });
});
afterEach(() => client.close());

const db = () => wired.store.prisma;
const someone = () => `user-${randomUUID()}`;
const entriesOf = (userId: string) => db().request.count({ where: { userId } });
const toldOf = async (key: string) =>
  (await db().outboxEntry.findMany({ where: { key }, orderBy: { id: 'asc' } })).map(({ topic }) => topic);

/** Joins for devices bigger than any other test has. */
const big = { minCpu: 4_000 };

/** The only device that is big enough, held by somebody. @returns what gives it back */
async function heldDevice(): Promise<() => Promise<unknown>> {
  await db().device.updateMany({ where: { cpuCores: big.minCpu }, data: { cpuCores: 1 } });
  await addDevices(wired.store, alike(1, { cpuCores: big.minCpu }));
  const outcome = await wired.allocate(someone(), { preferredSpecs: big });
  if (outcome.status !== 'granted') throw new Error(`expected a grant, got ${JSON.stringify(outcome)}`);
  return () => wired.release({ allocationId: outcome.allocation.allocationId });
}

/** A waitlist worker of a queue of its own whose store misbehaves. */
async function withClientOf(store: Store, work: (own: SchedulerClient) => Promise<void>): Promise<void> {
  const prefix = `${wired.prefix}:${randomUUID()}`;
  const worker = startWaitlist({ ...wired.allocation, store, prefix });
  const own = new SchedulerClient({ redis: { url: redisUrl() }, service: 'shop', prefix });
  try {
    await work(own);
  } finally {
    await own.close();
    await worker.close();
  }
}

describe('a client joins the waiting queue', () => {
  test('is told the place, and has the device when it is free', async () => {
    const giveBack = await heldDevice();
    const userId = someone();
    const joined = await client.joinQueue(userId, { ...big, durationMinutes: 30, tier: 'pro', tenantId: 'acme' }, PATIENCE);
    expect(joined).toEqual({
      status: 'waiting',
      requestId: expect.any(String),
      reason: 'POOL_BUSY',
      position: 1,
      estimatedStart: { p50: expect.any(String), p90: expect.any(String) },
    });
    const { requestId } = joined as { requestId: string };
    expect(await db().request.findUniqueOrThrow({ where: { id: requestId } })).toMatchObject({
      caller: 'service:shop',
      source: 'client',
      tenantId: 'acme',
      tier: 'premium',
      joined: true,
      asked: { durationMinutes: 30, maxWaitMinutes: 30, queueIfBusy: true, preferredSpecs: big },
    });
    expect(await client.status(requestId)).toMatchObject({ status: 'waiting', requestId });
    const served = client.waitFor(requestId, PATIENCE);
    await giveBack();
    expect(await served).toMatchObject({ status: 'granted', requestId, allocation: { userId, durationMinutes: 30 } });
    expect(await toldOf(requestId)).toEqual(['scheduler.queue.joined', 'scheduler.queue.fulfilled']);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  test('twice with the same id is one entry, and a repeat is told what became of it', async () => {
    const giveBack = await heldDevice();
    const [userId, requestId] = [someone(), randomUUID()];
    const first = await client.joinQueue(userId, { ...big, requestId }, PATIENCE);
    expect(first).toMatchObject({ status: 'waiting', requestId });
    expect(await client.joinQueue(userId, { ...big, requestId }, PATIENCE)).toEqual(first);
    await giveBack();
    await wired.untilDecided(requestId);
    // Redis has forgotten the job: the row says how it stands.
    await forgetJob(requestId);
    expect(await client.joinQueue(userId, { ...big, requestId }, PATIENCE)).toMatchObject({ status: 'granted', requestId });
    expect(await entriesOf(userId)).toBe(1);
    expect(await toldOf(requestId)).toEqual(['scheduler.queue.joined', 'scheduler.queue.fulfilled']);
  });

  test('once a user at a time: the second is refused and told which is there, until that one is withdrawn', async () => {
    const userId = someone();
    const joined = await client.joinQueue(userId, big, PATIENCE);
    const { requestId } = joined as { requestId: string };
    const second = await client.joinQueue(userId, big, PATIENCE);
    expect(second).toMatchObject({ status: 'refused', code: 'ALREADY_QUEUED', details: { queueId: requestId } });
    expect(await client.cancel(requestId, PATIENCE)).toEqual({ status: 'cancelled', requestId });
    expect(await toldOf(requestId)).toEqual(['scheduler.queue.joined', 'scheduler.queue.cancelled']);
    expect(await client.joinQueue(userId, big, PATIENCE)).toMatchObject({ status: 'waiting' });
  });

  test('and is refused who is suspended or in arrears, and whose id is that of another request', async () => {
    const [suspended, late, pending] = [someone(), someone(), randomUUID()];
    await db().user.create({ data: { id: suspended, state: 'suspended' } });
    await db().user.create({ data: { id: late, arrearsSince: new Date() } });
    expect(await client.joinQueue(suspended, big, PATIENCE)).toMatchObject({ status: 'refused', code: 'USER_SUSPENDED' });
    expect(await client.joinQueue(late, big, PATIENCE)).toMatchObject({ status: 'refused', code: 'ACCOUNT_IN_ARREARS' });
    await db().$executeRaw`
      INSERT INTO requests (id, caller, source, user_id, tier, asked, deadline) VALUES (${pending}::uuid, 'test', 'http', ${someone()}, 'standard', '{}', now() + interval '1 hour')`;
    expect(await client.joinQueue(someone(), { ...big, requestId: pending }, PATIENCE)).toMatchObject({
      status: 'refused',
      code: 'IDEMPOTENCY_KEY_REUSED',
    });
  });

  test('with wrong words is refused before anything is enqueued', async () => {
    const requestId = randomUUID();
    expect(await client.joinQueue('', { requestId, durationMinutes: 5, maxWaitMinutes: 500 })).toMatchObject({
      status: 'refused',
      code: 'VALIDATION_FAILED',
      details: {
        problems: [
          expect.stringContaining('userId'),
          expect.stringContaining('durationMinutes'),
          expect.stringContaining('maxWaitMinutes'),
        ],
      },
    });
    expect(await wired.producer.hasJob(QUEUES.join, requestId)).toBe(false);
  });

  test('and stops waiting for the answer when told to; the entry lives on', async () => {
    const [userId, requestId] = [someone(), randomUUID()];
    const answer = await client.joinQueue(userId, { ...big, requestId }, { ...PATIENCE, signal: AbortSignal.abort() });
    expect(answer).toMatchObject({ status: 'pending', requestId });
    await eventually(async () => expect(await client.status(requestId)).toMatchObject({ status: 'waiting' }), PATIENCE.timeoutMs);
    expect(await entriesOf(userId)).toBe(1);
  });
});

describe('a worker that dies while somebody joins', () => {
  test.each([
    ['before', 0],
    ['after', 1],
  ])('%s the commit leaves one entry, told once', async (_when, commits) => {
    const [userId, requestId] = [someone(), randomUUID()];
    let deaths = 0;
    const store: Store = {
      ...wired.store,
      transaction: async (work) => {
        if (deaths > 0) return wired.store.transaction(work);
        deaths += 1;
        if (commits === 1) await wired.store.transaction(work);
        throw new Killed();
      },
    };
    await withClientOf(store, async (own) => {
      expect(await own.joinQueue(userId, { ...big, requestId }, PATIENCE)).toMatchObject({ status: 'waiting', requestId });
    });
    expect(deaths).toBe(1);
    expect(await entriesOf(userId)).toBe(1);
    expect(await toldOf(requestId)).toEqual(['scheduler.queue.joined']);
  });
});

async function forgetJob(requestId: string): Promise<void> {
  const queue = new Queue(QUEUES.join, { connection: wired.redis, prefix: wired.prefix, skipVersionCheck: true });
  try {
    await queue.remove(requestId);
    await wired.redis.del(`${wired.prefix}:outcome:${requestId}`);
  } finally {
    await queue.close();
  }
}
