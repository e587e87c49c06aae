import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import { Queue } from 'bullmq';
import { SchedulerClient } from '../../queues/client.ts';
import { QUEUES } from '../../queues/names.ts';
import { createLogger } from '../../shared/logger.ts';
import { createLife } from '../../shared/run/life.ts';
import type { RedisAddress } from '../../shared/run/redis.ts';
import { readRuns } from '../../shared/store/scheduled-runs.ts';
import { startMaintenance } from '../../workers/maintenance/start-maintenance.ts';
import { asUser, openApiBench } from './api-bench.ts';
import { eventually } from './eventually.ts';
import { addDevices, alike } from './fleet.ts';
import { readInvariants } from './invariants.ts';
import { MAINTENANCE } from './maintenance-settings.ts';
import { wire } from './wire.ts';

/** As usual, and what Redis lost is looked for each second. */
const SCHEDULES = MAINTENANCE.schedules.map((schedule) =>
  schedule.name === 'reconcile' ? { ...schedule, recurrence: { everyMs: 1_000 } } : schedule,
);
/** Who asks, asks again for this long, ms. */
const PATIENCE_MS = 40_000;

/** Doors, workers and schedules on a Redis of more than one server, and who asks them all the time. */
export interface FailOverBench {
  /** The queue of allocations, to stop and go. */
  readonly allocations: Queue;
  /** Asks over HTTP, again while it is told to, under the same key. @returns the id of the request */
  askOverHttp(userId: string): Promise<string>;
  /** Ten users ask, half of them over HTTP, half by the client. @returns the ids of the requests */
  askAll(name: string): Promise<string[]>;
  /** Resolves when all these requests are granted; fails when a rule is broken, such as one device for two. */
  allGranted(requestIds: readonly string[]): Promise<void>;
  /** Resolves when every schedule is kept in Redis, and one has run after this moment. */
  everyScheduleRuns(after: Date): Promise<void>;
  close(): Promise<void>;
}

export async function openFailOverBench(redisAddress: RedisAddress): Promise<FailOverBench> {
  const logger = createLogger('test', 'silent');
  const life = createLife(logger);
  const wired = await wire({ redisAddress });
  life.onClose('wired', wired.close);
  const { store, redis, prefix, producer, metrics } = wired;
  const bench = await openApiBench();
  life.onClose('bench', bench.close);
  const api = await bench.start({ databaseUrl: wired.databaseUrl, redisAddress, prefix });
  const { url, clusterNodes, sentinels } = redisAddress;
  const client = new SchedulerClient({ redis: { url, clusterNodes, ...(sentinels && { sentinels }) }, service: 'orders', prefix });
  life.onClose('client', () => client.close());
  const parts = { store, redis, redisAddress, prefix, producer, metrics, logger, graceSeconds: 0, keepEveryMs: 200 };
  const maintenance = await startMaintenance({ ...MAINTENANCE, ...parts, schedules: SCHEDULES });
  life.onClose('maintenance', maintenance.close);
  const queueOf = (name: string) => {
    const queue = new Queue(name, { connection: redis, prefix });
    // A server is killed on purpose; whoever asks hears it from the asking.
    queue.on('error', () => undefined);
    life.onClose('queue', () => queue.close());
    return queue;
  };
  const [allocations, scheduled] = [queueOf(QUEUES.allocate), queueOf(QUEUES.maintenance)];
  await addDevices(store, alike(200));

  async function askOverHttp(userId: string): Promise<string> {
    const headers = { 'idempotency-key': randomUUID() };
    const as = await asUser(userId);
    return eventually(async () => {
      const answer = await api.call('POST', '/scheduler/devices/allocate', { as, headers, body: { userId, waitMs: 0 } });
      if (answer.status === 503) expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
      if (!String(answer.status).startsWith('2')) throw new Error(answer.text);
      return answer.body.data.requestId as string;
    }, PATIENCE_MS);
  }

  async function askByClient(userId: string): Promise<string> {
    const requestId = randomUUID();
    await eventually(async () => {
      expect(await client.allocate(userId, { requestId }, { timeoutMs: 500 })).toMatchObject({ status: 'granted' });
    }, PATIENCE_MS);
    return requestId;
  }

  return {
    allocations,
    askOverHttp,
    askAll: (name) =>
      Promise.all(Array.from({ length: 10 }, (_, index) => (index % 2 === 0 ? askOverHttp : askByClient)(`${name}-${index}`))),
    allGranted: async (requestIds) => {
      await eventually(async () => {
        const rows = await store.prisma.request.findMany({ where: { id: { in: [...requestIds] } }, select: { status: true } });
        expect(rows.map(({ status }) => status)).toEqual(requestIds.map(() => 'granted'));
      }, PATIENCE_MS);
      expect(await readInvariants(store)).toEqual([]);
    },
    everyScheduleRuns: (after) =>
      eventually(async () => {
        const kept = (await scheduled.getJobSchedulers(0, -1)).map(({ key }) => key);
        expect(kept.toSorted()).toEqual(SCHEDULES.map(({ name }) => name).toSorted());
        const expire = (await readRuns(store)).find(({ job }) => job === 'expire');
        expect(expire?.lastRunAt?.getTime()).toBeGreaterThan(after.getTime());
      }),
    close: life.close,
  };
}
