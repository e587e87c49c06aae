import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createMetrics, type Metrics } from '../../shared/metrics.ts';
import { joinQueue } from '../../shared/store/join-queue.ts';
import { tellEstimate } from '../../shared/store/wait-facts.ts';
import { requestOfEntry } from '../../shared/waitlist/asked-entry.ts';
import { tidy } from '../../workers/waitlist/tidy.ts';
import { eventually } from '../support/eventually.ts';
import { addDevices, alike } from '../support/fleet.ts';
import { metricValue } from '../support/queue-bench.ts';
import { type Wired, wire } from '../support/wire.ts';

let wired: Wired;
beforeAll(async () => {
  wired = await wire();
});
afterAll(() => wired.close());

const PATIENCE_MS = 20_000;
const LABELS = ['p50', 'p90', 'late'] as const;
const countsOf = (metrics: Metrics) =>
  Promise.all(LABELS.map((within) => metricValue(metrics, 'scheduler_wait_estimate_total', { within })));
const counts = () => countsOf(wired.metrics);

/** Somebody in the queue for the only device, which somebody else holds. `giveBack` has them served. */
async function waiter() {
  await wired.store.prisma.device.updateMany({ data: { status: 'stopped' } });
  await addDevices(wired.store, alike(1));
  const held = await wired.allocate(randomUUID());
  if (held.status !== 'granted') throw new Error(`expected a grant, got ${JSON.stringify(held)}`);
  const requestId = randomUUID();
  const asked = requestOfEntry({ durationMinutes: 30, maxWaitMinutes: 30 });
  const words = { caller: 'test', source: 'http', tenantId: null, tier: 'standard', traceId: undefined } as const;
  await joinQueue(wired.store, { requestId, userId: randomUUID(), asked, ...words });
  const giveBack = async () => {
    await wired.release({ allocationId: held.allocation.allocationId });
    await wired.untilDecided(requestId);
  };
  return { requestId, giveBack };
}

test.each([
  ['before the median', 60, 120, [1, 0, 0]],
  ['after the median and before the ninth of ten', -60, 60, [0, 1, 0]],
  ['after both', -120, -60, [0, 0, 1]],
])('who is served %s is counted so', async (_when, p50Minutes, p90Minutes, more) => {
  const before = await counts();
  const { requestId, giveBack } = await waiter();
  expect(await tellEstimate(wired.store, requestId)).toMatchObject({ estimate: { p50: expect.any(Date), p90: expect.any(Date) } });
  await wired.store.prisma.$executeRaw`
    UPDATE requests SET estimated_p50 = now() + make_interval(mins => ${p50Minutes}::int), estimated_p90 = now() + make_interval(mins => ${p90Minutes}::int)
    WHERE id = ${requestId}::uuid AND estimated_p50 IS NOT NULL AND estimated_p90 IS NOT NULL`;
  await giveBack();
  // The count follows the commit.
  await eventually(async () => expect(await counts()).toEqual(before.map((count, index) => count + (more[index] ?? 0))), PATIENCE_MS);
});

test.each([
  ['after the ninth of ten is counted as late', -60, [0, 0, 1]],
  ['before it is not counted: nobody knows', 60, [0, 0, 0]],
])('who gives up waiting %s', async (_when, p90Minutes, more) => {
  const { requestId } = await waiter();
  await tellEstimate(wired.store, requestId);
  await wired.store.prisma.$executeRaw`
    UPDATE requests SET estimated_p50 = now() - interval '2 hours', estimated_p90 = now() + make_interval(mins => ${p90Minutes}::int), deadline = now()
    WHERE id = ${requestId}::uuid AND estimated_p90 IS NOT NULL`;
  const metrics = createMetrics('test');
  await tidy({ ...wired.allocation, metrics });
  expect((await wired.store.prisma.request.findUniqueOrThrow({ where: { id: requestId } })).status).toBe('timed_out');
  expect(await countsOf(metrics)).toEqual(more);
});

test('who was told no estimate is not counted, and only the first one told counts', async () => {
  const before = await counts();
  const silent = await waiter();
  await silent.giveBack();
  const told = await waiter();
  const first = await tellEstimate(wired.store, told.requestId);
  await wired.store.prisma
    .$executeRaw`UPDATE requests SET waiting_since = waiting_since - interval '1 hour' WHERE id = ${told.requestId}::uuid`;
  await tellEstimate(wired.store, told.requestId);
  expect(await wired.store.prisma.request.findUniqueOrThrow({ where: { id: told.requestId } })).toMatchObject({
    estimatedP50: first?.estimate?.p50,
  });
  await told.giveBack();
  // One more than before, and by now the silent one would be there too.
  const sum = (all: readonly number[]) => all.reduce((total, count) => total + count, 0);
  await eventually(async () => expect(sum(await counts())).toBe(sum(before) + 1), PATIENCE_MS);
});

test('who waited for a device is counted apart from who was decided on at once', async () => {
  const count = (metric: string) => metricValue(wired.metrics, metric, { tier: 'standard' });
  const { giveBack } = await waiter();
  const before = [await count('scheduler_waitlist_wait_seconds'), await count('scheduler_request_wait_seconds')] as const;
  await giveBack();
  await eventually(async () => expect(await count('scheduler_waitlist_wait_seconds')).toBe(before[0] + 1), PATIENCE_MS);
  expect(await count('scheduler_request_wait_seconds')).toBe(before[1]);
});
