import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Queue, Worker } from 'bullmq';
import { createProducer } from '../../queues/producer.ts';
import { createLogger } from '../../shared/logger.ts';
import { assertNoEviction, closeRedis, createRedis, memoryUse, whenReady } from '../../shared/run/redis.ts';
import { startWatchdog } from '../../shared/run/watchdog.ts';
import { eventually } from '../support/eventually.ts';
import { openRedis, redisAddress } from '../support/open-redis.ts';
import { startPrivateRedis } from '../support/private-redis.ts';
import { metricValue, openQueueBench, type QueueBench } from '../support/queue-bench.ts';
import { redisUrl } from '../support/redis.ts';
import { newRequest } from '../support/requests.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

const QUICK = { lockDuration: 600, stalledInterval: 200 };
const logger = createLogger('test', 'silent');

let bench: QueueBench;
let queue: Queue;
let proxy: TcpProxy;

beforeEach(async () => {
  bench = await openQueueBench();
  queue = new Queue('allocate', { connection: bench.redis, prefix: bench.prefix });
  proxy = await startTcpProxy(new URL(redisUrl()));
});

afterEach(async () => {
  await queue.close();
  await bench.close();
  await proxy.close();
});

const throughProxy = () => ({ url: `redis://127.0.0.1:${proxy.port}/0`, clusterNodes: [] });

/** BullMQ as it comes; only its timers can be stopped, so that the test leaves nothing behind. */
class BareWorker extends Worker {
  stopTimers(): Promise<void> {
    return this.lockManager.close();
  }
}

async function add(): Promise<string> {
  return (await queue.add('allocate', {})).id ?? '';
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

describe('a queue worker whose Redis goes away', () => {
  test('closes all the same; BullMQ’s own close does not', async () => {
    const worker = bench.work({ allocate: () => Promise.resolve() }, { redis: throughProxy(), closeTimeoutMs: 200 });
    const connection = createRedis('worker', throughProxy(), logger);
    const bare = new BareWorker('allocate', () => Promise.resolve(), { connection, prefix: bench.prefix, stalledInterval: 300 });
    bare.on('error', () => undefined);
    await bare.waitUntilReady();
    await eventually(() => expect(worker.healthy()).toBe(true));
    proxy.cut();
    await eventually(() => expect(worker.healthy()).toBe(false));
    let bareClosed = false;
    void bare.close().then(() => {
      bareClosed = true;
    });
    expect(await elapsed(worker.close)).toBeLessThan(10_000);
    expect(bareClosed).toBe(false);
    closeRedis(connection);
    (await bare.getBackend().blockingClient)?.disconnect();
    await bare.stopTimers();
  });

  test('before it was ever there takes jobs once it is', async () => {
    proxy.cut();
    const seen: string[] = [];
    bench.work({ allocate: (_data, { id }) => Promise.resolve(seen.push(id)) }, { redis: throughProxy() });
    const id = await add();
    proxy.restore();
    await eventually(() => expect(seen).toEqual([id]), 30_000);
  });

  test('takes jobs again once it is back', async () => {
    const seen: string[] = [];
    const worker = bench.work(
      {
        allocate: (_data, { id }) => {
          seen.push(id);
          return Promise.resolve();
        },
      },
      { redis: throughProxy() },
    );
    const before = await add();
    await eventually(() => expect(seen).toEqual([before]));
    proxy.cut();
    await eventually(() => expect(worker.healthy()).toBe(false));
    const during = await add();
    proxy.restore();
    await eventually(() => expect(seen).toEqual([before, during]), 30_000);
    expect(worker.healthy()).toBe(true);
  });
});

describe('a job', () => {
  test('whose lock is lost is told so', async () => {
    const reasons: unknown[] = [];
    let finish: () => void = () => undefined;
    bench.work(
      {
        allocate: (_data, { signal }) => {
          signal.addEventListener('abort', () => reasons.push(signal.reason));
          return new Promise<void>((resolve) => {
            finish = resolve;
          });
        },
      },
      { timing: { ...QUICK, stalledInterval: 60_000 } },
    );
    const id = await add();
    await eventually(async () => expect(await bench.redis.del(`${bench.prefix}:allocate:${id}:lock`)).toBe(1));
    await eventually(() => expect(reasons).toEqual([new Error('the lock of the job is lost')]));
    finish();
  });

  test('outlives three workers that are killed while they have it', async () => {
    const id = await add();
    for (let death = 0; death < 3; death++) {
      const child = spawn(process.execPath, ['--no-warnings', 'tests/support/hanging-worker.ts', redisUrl(), bench.prefix], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      await kill(child);
    }
    bench.work({ allocate: () => Promise.resolve('done') }, { timing: QUICK });
    await eventually(async () => expect(await queue.getJobState(id)).toBe('completed'), 30_000);
    expect(await metricValue(bench.metrics, 'scheduler_jobs_stalled_total', {})).toBeGreaterThanOrEqual(1);
  });

  test('that kills every worker is given up in the end', async () => {
    const id = await add();
    await bench.redis.hset(`${bench.prefix}:allocate:${id}`, { ats: '25' });
    bench.work({ allocate: () => Promise.resolve('never') }, { timing: QUICK });
    await eventually(async () => expect(await queue.getJobState(id)).toBe('failed'));
  });
});

describe('the watchdog', () => {
  /** A job without the marker that wakes a blocked worker: what a lost wake-up looks like. */
  async function addUnannounced(): Promise<void> {
    await bench.redis
      .multi()
      .hset(`${bench.prefix}:allocate:silent`, { name: 'allocate', data: '{}', opts: '{}', timestamp: '1' })
      .lpush(`${bench.prefix}:allocate:wait`, 'silent')
      .exec();
  }

  test('replaces a worker that takes nothing while jobs wait', async () => {
    const seen: string[] = [];
    bench.work(
      {
        allocate: (_data, { id }) => {
          seen.push(id);
          return Promise.resolve();
        },
      },
      // Left alone the worker would sleep for longer than the test may take.
      { timing: { watchdogMs: 400, idleMs: 600_000 } },
    );
    const id = await add();
    await eventually(() => expect(seen).toEqual([id]));
    await eventually(async () => expect((await queue.getJobCounts('active'))['active']).toBe(0));
    await addUnannounced();
    await eventually(() => expect(seen).toEqual([id, 'silent']), 20_000);
    expect(await metricValue(bench.metrics, 'scheduler_worker_restarts_total', {})).toBeGreaterThanOrEqual(1);
  });

  test.each([
    ['nothing waits', async () => undefined, false],
    ['the queue is paused', async () => void (await Promise.all([addUnannounced(), queue.pause()])), false],
    ['the worker is busy', addUnannounced, true],
  ])('leaves a worker alone while %s', async (_why, prepare, busy) => {
    await prepare();
    let looks = 0;
    let restarts = 0;
    const watchdog = startWatchdog({
      queue: 'allocate',
      prefix: bench.prefix,
      redis: redisAddress(),
      quietMs: 80,
      lastTaken: () => 0,
      busy: () => {
        looks += 1;
        return busy;
      },
      restart: () => {
        restarts += 1;
        return Promise.resolve();
      },
      logger,
    });
    await eventually(() => expect(looks).toBeGreaterThan(12));
    expect(restarts).toBe(0);
    await watchdog.close();
  });

  test('looks on after a restart that failed', async () => {
    await addUnannounced();
    let restarts = 0;
    const restart = () => {
      restarts += 1;
      return Promise.reject(new Error('not yet'));
    };
    const watchdog = startWatchdog({
      queue: 'allocate',
      prefix: bench.prefix,
      redis: redisAddress(),
      quietMs: 40,
      lastTaken: () => 0,
      busy: () => false,
      restart,
      logger,
    });
    await eventually(() => expect(restarts).toBeGreaterThan(1));
    await watchdog.close();
  });
});

describe('a producer', () => {
  test.each(['cut', 'stall'] as const)('is told within the command timeout that Redis gives no answer (%s)', async (fault) => {
    const redis = await openRedis('producer', throughProxy());
    const producer = createProducer({ redis, prefix: bench.prefix, maxWaitingJobs: 10, logger });
    await producer.waiting();
    proxy[fault]();
    const took = await elapsed(() => expect(producer.allocate([newRequest()])).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' }));
    expect(took).toBeLessThan(10_000);
    await producer.close();
    closeRedis(redis);
  });
});

describe('Redis', () => {
  test('that is nearly full takes no new requests, and takes accepted ones all the same', async () => {
    const small = await startPrivateRedis('--maxmemory', '40mb', '--maxmemory-policy', 'noeviction');
    const redis = await openRedis('producer', small.address);
    const producer = createProducer({ redis, prefix: '{full}', maxWaitingJobs: 1_000_000, logger });
    for (let part = 0; part < 29; part++) await redis.set(`ballast-${part}`, 'x'.repeat(1_000_000));
    await eventually(() => expect(producer.allocate([newRequest()])).rejects.toMatchObject({ code: 'OVERLOADED', details: { max: 0.7 } }));
    const before = await producer.waiting();
    const { replyTo: _nobody, acceptedAt: _before, ...accepted } = newRequest();
    await producer.allocateAgain([{ ...accepted, traceId: undefined, createdAt: new Date() }]);
    expect(await producer.waiting()).toBe(before + 1);
    await producer.close();
    closeRedis(redis);
    await small.kill();
  });

  test('is refused when it may evict', async () => {
    const evicting = await startPrivateRedis('--maxmemory', '10mb', '--maxmemory-policy', 'allkeys-lru');
    const redis = await openRedis('producer', evicting.address);
    await expect(assertNoEviction(redis)).rejects.toThrow('maxmemory-policy allkeys-lru');
    expect(await memoryUse(redis)).toBeGreaterThan(0.05);
    await evicting.kill();
    await expect(assertNoEviction(redis)).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
    closeRedis(redis);
    await assertNoEviction(bench.redis);
    expect(await memoryUse(bench.redis)).toBe(0);
  });

  test('that is not there in time is reported', async () => {
    proxy.cut();
    const redis = createRedis('cache', throughProxy(), logger);
    await expect(whenReady(redis, 100)).rejects.toThrow('Redis was not ready within 100 ms.');
    proxy.restore();
    await whenReady(redis, 20_000);
    await whenReady(redis, 20_000);
    closeRedis(redis);
    closeRedis(redis);
  });
});

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
