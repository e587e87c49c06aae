import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SchedulerClient } from '../../queues/client.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { readInvariants } from '../support/invariants.ts';
import { redisUrl } from '../support/redis.ts';
import { type Wired, wire } from '../support/wire.ts';

let wired: Wired;
const clients: SchedulerClient[] = [];

beforeEach(async () => {
  wired = await wire({ allocationWorkers: 0 });
});
afterEach(async () => {
  for (const each of clients.splice(0)) await each.close();
  await wired.close();
});

const PATIENT = { timeoutMs: 20_000 };

function client(service = 'orders'): SchedulerClient {
  const opened = new SchedulerClient({ redis: { url: redisUrl() }, service, prefix: wired.prefix });
  clients.push(opened);
  return opened;
}

describe('a request no worker has seen', () => {
  it('is cancelled by its caller: the worker that takes it later grants nothing', async () => {
    await addDevices(wired.store, alike(1));
    const orders = client();
    const requestId = randomUUID();
    expect(await orders.allocate('ann', { requestId, tenantId: 'acme' }, { timeoutMs: 50 })).toMatchObject({ status: 'pending' });
    expect(await orders.cancel(requestId, PATIENT)).toEqual({ status: 'cancelled', requestId });
    expect(await wired.store.prisma.request.findUnique({ where: { id: requestId } })).toMatchObject({
      status: 'cancelled',
      code: 'REQUEST_CANCELLED',
      caller: 'service:orders',
      userId: 'ann',
      tenantId: 'acme',
      decidedAt: expect.any(Date),
    });
    expect(await orders.cancel(requestId, PATIENT)).toEqual({ status: 'cancelled', requestId });
    wired.addAllocationWorker();
    expect(await orders.waitFor(requestId, PATIENT)).toEqual({ status: 'cancelled', requestId, code: 'REQUEST_CANCELLED' });
    expect(await wired.store.prisma.allocation.count()).toBe(0);
  });

  it('is not there for another caller', async () => {
    const requestId = randomUUID();
    await client().allocate('ann', { requestId }, { timeoutMs: 50 });
    expect(await client('curious').cancel(requestId, PATIENT)).toEqual({ status: 'refused', requestId, code: 'REQUEST_NOT_FOUND' });
    expect(await wired.store.prisma.request.count()).toBe(0);
  });

  it('cannot be cancelled when nobody asked for it', async () => {
    const requestId = randomUUID();
    expect(await client().cancel(requestId, PATIENT)).toEqual({ status: 'refused', requestId, code: 'REQUEST_NOT_FOUND' });
  });
});

describe('a cancellation and a grant at once', () => {
  it('have one winner, and no group is undone by it', async () => {
    await addDevices(wired.store, alike(100));
    const orders = client();
    const ids = Array.from({ length: 100 }, () => randomUUID());
    await wired.know(ids.map((_, index) => `user-${index % 20}`));
    const asked = orders.allocateMany(
      ids.map((requestId, index) => ({ requestId, userId: `user-${index % 20}` })),
      PATIENT,
    );
    wired.addAllocationWorker({ groupMax: 5 });
    const [results, cancellations] = await Promise.all([asked, Promise.all(ids.map((requestId) => orders.cancel(requestId, PATIENT)))]);
    const both = ids.map((_, index) => {
      const cancelled = cancellations[index];
      return `${results[index]?.status} ${cancelled?.status === 'refused' ? cancelled.code : cancelled?.status}`;
    });
    // Cancelled before it was handed in: there was nothing to cancel, and it is granted.
    const possible = ['granted REQUEST_DECIDED', 'cancelled cancelled', 'granted REQUEST_NOT_FOUND'];
    expect(both.filter((each) => !possible.includes(each))).toEqual([]);
    const granted = both.filter((each) => each.startsWith('granted')).length;
    expect(await wired.store.prisma.allocation.count({ where: { status: 'allocated' } })).toBe(granted);
    expect(await readInvariants(wired.store)).toEqual([]);
  });

  it('wait for each other: what a group is deciding is decided, and then too late to cancel', async () => {
    const orders = client();
    const requestId = randomUUID();
    await orders.allocate('ann', { requestId }, { timeoutMs: 50 });
    const cancelling = await wired.store.transaction(async (tx) => {
      await tx.$executeRaw`INSERT INTO users (id) VALUES ('ann')`;
      const cancel = orders.cancel(requestId, PATIENT);
      await untilBlocked();
      await tx.$executeRaw`
        INSERT INTO requests (id, caller, source, user_id, tier, status, asked, code, decided_at)
        VALUES (${requestId}::uuid, 'service:orders', 'client', 'ann', 'standard', 'refused', '{}', 'NO_DEVICE_AVAILABLE', now())`;
      return { cancel };
    });
    expect(await cancelling.cancel).toEqual({ status: 'refused', requestId, code: 'REQUEST_DECIDED' });
  });
});

/** Until somebody waits for a lock in the test's database. */
async function untilBlocked(): Promise<void> {
  await eventually(async () => {
    const [row] = await wired.store.prisma.$queryRaw<{ blocked: boolean }[]>`
      SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock') AS blocked`;
    expect(row?.blocked).toBe(true);
  });
}
