import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { accountsFrom } from '../../dashboards/accounts.ts';
import { type Dashboard, startDashboard } from '../../dashboards/start-dashboard.ts';
import { deadLetterJob } from '../../queues/jobs/dead-letter.ts';
import { QUEUES } from '../../queues/names.ts';
import { createProducer, type Producer } from '../../queues/producer.ts';
import { createLogger } from '../../shared/logger.ts';
import { retryDeadLetters } from '../../shared/store/dead-letters.ts';
import { showDeadLetters } from '../../workers/maintenance/show-dead-letters.ts';
import { type DeliveryBench, ledgerStates, openDeliveryBench } from '../support/delivery-bench.ts';
import { listenToEvents } from '../support/event-listener.ts';
import { eventually } from '../support/eventually.ts';
import { redisAddress } from '../support/open-redis.ts';
import { writeOwed } from '../support/outbox-rows.ts';
import { redisUrl } from '../support/redis.ts';
import { openRelayBench, type RelayBench } from '../support/relay-bench.ts';

const SETTINGS = { DASHBOARD_USER: 'ops', DASHBOARD_PASSWORD: 'correct horse battery', DASHBOARD_VIEWER_USER: 'guest' };
const PATIENCE_MS = 20_000;

let bench: DeliveryBench;
let relays: RelayBench;
let producer: Producer;
let board: Dashboard;
let queue: Queue;
let cookie: string;

beforeAll(async () => {
  bench = await openDeliveryBench();
  relays = await openRelayBench();
  const logger = createLogger('test', 'silent');
  const { redis, prefix } = relays;
  producer = createProducer({ redis, prefix, maxWaitingJobs: 1_000, logger });
  queue = new Queue(QUEUES.delivery, { connection: { url: redisUrl() }, prefix });
  const accounts = accountsFrom({ ...SETTINGS, DASHBOARD_VIEWER_PASSWORD: '' });
  const store = {
    databaseUrl: bench.databaseUrl,
    poolSize: 2,
    acquireTimeoutMs: 5_000,
    statementTimeoutMs: 5_000,
    applicationName: 'dashboards',
  };
  board = await startDashboard({
    store,
    ...{ host: '127.0.0.1', port: 0, redis: redisAddress(), prefix, accounts, logger },
    ...{ secureCookies: false, trustProxy: false },
  });
  const login = await ask('POST', '/login', { username: 'ops', password: SETTINGS.DASHBOARD_PASSWORD });
  cookie = login.headers.get('set-cookie')?.split(';', 1)[0] ?? '';
});

afterAll(async () => {
  await board.close();
  await queue.close();
  await producer.close();
  await relays.close();
  await bench.close();
});

function ask(method: string, path: string, body?: object): Promise<Response> {
  const headers = { cookie: cookie ?? '', origin: board.url, 'content-type': 'application/json' };
  return fetch(`${board.url}${path}`, { method, headers, redirect: 'manual', body: JSON.stringify(body ?? {}) });
}

const show = () => showDeadLetters({ store: bench.store, producer });
const shown = async () => (await queue.getFailed()).map(({ id }) => id).toSorted();
const idOf = (id: string) => deadLetterJob.idOf({ kind: 'billing', id });
const stateOf = async (allocationId: string) =>
  (await bench.store.prisma.ledgerEntry.findUniqueOrThrow({ where: { allocationId } })).status;

describe('bills that were given up', () => {
  test('are told on the dead-letter exchange, stand on the board, and are delivered when they are retried there', async () => {
    const letters = await listenToEvents('billing.usage_report_failed', {}, 'cloudphone.dlx');
    const ids = await writeOwed(bench.store, 3);
    const [first = '', second = '', third = ''] = ids;
    bench.billing.control.fail({ kind: 'status', status: 400 });
    await relays.startRelay({ store: bench.store, netMs: 20 });
    bench.startWorker(relays.prefix, { maxAttempts: 2 });
    await eventually(async () => expect(await ledgerStates(bench.store)).toEqual({ dead: 3 }), PATIENCE_MS);

    const told = await eventually(() => {
      const bodies = letters.arrived.map(({ content }) => JSON.parse(content.toString())).filter((body) => ids.includes(body.allocationId));
      expect(bodies).toHaveLength(3);
      return bodies;
    }, PATIENCE_MS);
    expect(told.find(({ allocationId }) => allocationId === first)).toMatchObject({
      usage: { durationSeconds: 600, cpuCores: 2, memoryMB: 2048, storageMB: 16_384 },
      ...{ userId: 'ann', tenantId: null, failureReason: 'billing-service answered 400', retryCount: 2, version: 1 },
      ...{ type: 'billing.usage_report_failed', allocatedAt: expect.any(String), releasedAt: expect.any(String) },
    });
    await letters.close();

    expect(await show()).toBe(3);
    await eventually(async () => expect(await shown()).toEqual(ids.map(idOf).toSorted()), PATIENCE_MS);
    const seen = await fetch(`${board.url}/queues/api/queues/delivery/${idOf(first)}`, { headers: { cookie } });
    expect(await seen.json()).toMatchObject({ job: { name: 'dead-letter', failedReason: 'billing-service answered 400' } });

    // One that is retried while billing still refuses is given up again, and back on the board.
    const before = bench.billing.control.calls.count();
    expect((await ask('PUT', `/queues/api/queues/delivery/${idOf(third)}/retry`)).status).toBe(204);
    await eventually(() => expect(bench.billing.control.calls.count()).toBeGreaterThan(before), PATIENCE_MS);
    await eventually(async () => {
      expect(await stateOf(third)).toBe('dead');
      await show();
      expect(await shown()).toEqual(ids.map(idOf).toSorted());
    }, PATIENCE_MS);

    bench.billing.control.heal();
    expect((await ask('PUT', `/queues/api/queues/delivery/${idOf(first)}/retry`)).status).toBe(204);
    await eventually(async () => expect(await stateOf(first)).toBe('settled'), PATIENCE_MS);
    expect([await stateOf(second), bench.billing.control.recordOf(first)?.duration]).toEqual(['dead', 600]);

    // Retried by another way, it is gone from the board with the next look.
    await retryDeadLetters(bench.store, { id: second }, { kind: 'all' });
    await eventually(async () => expect(await stateOf(second)).toBe('settled'), PATIENCE_MS);
    expect(await show()).toBe(1);
    expect(await shown()).toEqual([idOf(third)]);

    expect((await ask('PUT', '/queues/api/queues/delivery/retry/failed')).status).toBe(200);
    await eventually(async () => expect(await ledgerStates(bench.store)).toEqual({ settled: 3 }), PATIENCE_MS);
    await eventually(async () => expect(await shown()).toEqual([]), PATIENCE_MS);
    expect(bench.billing.control.records().reduce((sum, { duration }) => sum + duration, 0)).toBe(1_800);
  });
});
