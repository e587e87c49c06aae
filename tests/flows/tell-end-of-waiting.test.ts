import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createCapacitySignal } from '../../queues/capacity-signal.ts';
import { SchedulerClient } from '../../queues/client.ts';
import { createLogger } from '../../shared/logger.ts';
import { createMetrics } from '../../shared/metrics.ts';
import { somebodyWaits } from '../../shared/store/unpark.ts';
import { reconcile } from '../../workers/maintenance/reconcile.ts';
import { type ApiBench, type ApiServer, asService, openApiBench } from '../support/api-bench.ts';
import { eventually } from '../support/eventually.ts';
import { type MaintenanceBench, openMaintenanceBench } from '../support/maintenance-bench.ts';
import { redisUrl } from '../support/redis.ts';

const PATIENCE = { timeoutMs: 20_000 };

let bench: ApiBench;
let api: ApiServer;
let maintenance: MaintenanceBench;
let client: SchedulerClient;
beforeAll(async () => {
  bench = await openApiBench();
  api = await bench.start();
  await bench.startWorkers();
  maintenance = await openMaintenanceBench(bench);
  client = new SchedulerClient({ redis: { url: redisUrl() }, service: 'shop', prefix: bench.prefix });
});
afterAll(async () => {
  await client.close();
  await maintenance.close();
  await bench.close();
});
beforeEach(async () => {
  await bench.store.transaction((tx) => tx.$executeRaw`TRUNCATE devices, allocations, requests, users, ledger, outbox CASCADE`);
});

const logger = createLogger('test', 'silent');
const capacity = () => {
  const { redis, prefix, store } = bench;
  return createCapacitySignal({ redis, prefix, logger, waits: () => somebodyWaits(store), unpark: () => Promise.resolve([]) });
};
const call = async (method: string, path: string) => {
  expect((await api.call(method, path, { as: await asService() })).status).toBe(200);
};

/** Nobody but the reconciler looks: the waitlist would end it as well. */
async function endByReconciler(requestId: string): Promise<void> {
  await bench.store.prisma.$executeRaw`UPDATE requests SET deadline = now() - interval '1 second' WHERE id = ${requestId}::uuid`;
  const { store, redis, prefix } = bench;
  const signal = capacity();
  const parts = { store, redis, prefix, capacity: signal, producer: maintenance.producer, metrics: createMetrics('test'), logger };
  expect(await reconcile(parts, new AbortController().signal)).toMatchObject({ timedOut: 1 });
  await signal.close();
}

/** There is a device for it, and it cannot be decided. */
async function poison(requestId: string): Promise<void> {
  await bench.store.prisma.$executeRaw`UPDATE requests SET asked = '{"durationMinutes": "for ever"}' WHERE id = ${requestId}::uuid`;
  const devices = await bench.addDevices(1);
  const signal = capacity();
  await eventually(async () => {
    await bench.store.prisma
      .$executeRaw`UPDATE requests SET parked = NULL, parked_at = NULL WHERE id = ${requestId}::uuid AND status = 'waiting'`;
    await signal.changed({ devices });
    expect(await bench.store.prisma.request.count({ where: { id: requestId, status: 'refused' } })).toBe(1);
  }, PATIENCE.timeoutMs);
  await signal.close();
}

const block = (userId: string) =>
  maintenance.producer.event({
    eventId: randomUUID(),
    topic: 'user.suspended',
    action: { action: 'block-user', userId, state: 'suspended' },
  });

test.each<[string, (requestId: string, userId: string) => Promise<unknown>, object]>([
  ['its time is over and the reconciler sees it first', endByReconciler, { status: 'timed_out', code: 'REQUEST_TIMED_OUT' }],
  ['its entry is withdrawn over HTTP', (id) => call('POST', `/scheduler/queue/${id}/cancel`), { status: 'cancelled' }],
  ['it is withdrawn over HTTP as a request', (id) => call('DELETE', `/scheduler/requests/${id}`), { status: 'cancelled' }],
  ['it is withdrawn through the client', (id) => client.cancel(id, PATIENCE), { status: 'cancelled' }],
  ['it cannot be decided', poison, { status: 'refused', code: 'INTERNAL' }],
  ['its user is suspended', (_, userId) => block(userId), { status: 'cancelled', code: 'REQUEST_CANCELLED' }],
])('a client that waits is told, and finds it later, when %s', async (_, end, outcome) => {
  const userId = `user-${randomUUID()}`;
  const joined = await client.joinQueue(userId, { durationMinutes: 30 }, PATIENCE);
  expect(joined).toMatchObject({ status: 'waiting' });
  const { requestId } = joined as { requestId: string };
  const told = client.waitFor(requestId, PATIENCE);
  await end(requestId, userId);
  expect(await told).toMatchObject({ ...outcome, requestId });
  await eventually(async () => expect(await client.status(requestId)).toMatchObject({ ...outcome, requestId }));
});
