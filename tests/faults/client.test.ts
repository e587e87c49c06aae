import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { SchedulerClient } from '../../queues/client.ts';
import { allocatePayload } from '../../queues/jobs/allocate.ts';
import { createLogger } from '../../shared/logger.ts';
import { checked } from '../../shared/run/queue-worker.ts';
import { closeRedis, createRedis, whenReady } from '../../shared/run/redis.ts';
import { eventually } from '../support/eventually.ts';
import { type PrivateRedis, startPrivateRedis } from '../support/private-redis.ts';
import { openQueueBench, type QueueBench } from '../support/queue-bench.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

let server: PrivateRedis;
let bench: QueueBench;
let client: SchedulerClient;
let said: string[];

beforeEach(async () => {
  server = await startPrivateRedis();
  bench = await openQueueBench(server.address);
  said = [];
  const logger = {
    warn: (_details: object, message: string) => void said.push(message),
    info: (_details: object, message: string) => void said.push(message),
  };
  client = new SchedulerClient({ redis: { url: server.address.url }, service: 'orders', prefix: bench.prefix, logger });
});

afterEach(async () => {
  await client.close();
  await bench.close();
  await server.kill();
});

const grant = () =>
  bench.work({
    allocate: checked(allocatePayload, ({ requestId }) =>
      Promise.resolve({ status: 'granted', requestId, allocation: { allocationId: requestId } }),
    ),
  });

describe('a client', () => {
  test('that is closed before it was connected lets go at once, and says so to whoever asked', async () => {
    await server.kill();
    const early = new SchedulerClient({ redis: { url: server.address.url }, service: 'orders', prefix: bench.prefix });
    const asking = expect(early.allocate('user-1', {}, { timeoutMs: 60_000 })).rejects.toThrow('The connection to Redis is closed.');
    await early.close();
    await asking;
  });

  test('looks out for its connection once, however many ask before it is there', async () => {
    await server.kill();
    const redis = createRedis('producer', server.address, createLogger('test', 'silent'));
    const before = redis.listenerCount('ready') + redis.listenerCount('end');
    const waiting = Promise.all(Array.from({ length: 50 }, () => whenReady(redis, 20_000)));
    expect(redis.listenerCount('ready') + redis.listenerCount('end')).toBe(before + 2);
    await expect(whenReady(redis, 1)).rejects.toThrow('Redis was not ready within 1 ms.');
    await server.start();
    await waiting;
    expect(redis.listenerCount('ready') + redis.listenerCount('end')).toBe(before);
    closeRedis(redis);
  });

  test('closes at once although its Redis has fallen silent', async () => {
    const { hostname, port } = new URL(server.address.url);
    const network = await startTcpProxy({ hostname, port });
    const far = new SchedulerClient({ redis: { url: `redis://127.0.0.1:${network.port}/0` }, service: 'orders', prefix: bench.prefix });
    const { requestId = '' } = { ...(await far.allocate('user-1', {}, { timeoutMs: 2_000 })) };
    network.stall();
    const waiting = far.waitFor(requestId, { timeoutMs: 60_000 }).catch((error: unknown) => error);
    await far.close();
    await waiting;
    await network.close();
  });
});

describe('a client whose Redis', () => {
  test('is killed and comes back empty while it waits gets its device all the same', async () => {
    const asking = client.allocate('user-1', {}, { timeoutMs: 25_000 });
    await eventually(async () => expect(await bench.redis.zcard(`${bench.prefix}:allocate:prioritized`)).toBe(1));
    await server.kill();
    await eventually(() => expect(said).toContain('redis connection failed'));
    await server.start();
    grant();
    expect(await asking).toMatchObject({ status: 'granted' });
    expect(said).toContain('redis connection is back');
  });

  test('comes back within the time it has, is asked then', async () => {
    grant();
    expect(await client.allocate('user-1')).toMatchObject({ status: 'granted' });
    await server.kill();
    const asking = client.allocate('user-2', {}, { timeoutMs: 25_000 });
    await server.start();
    expect(await asking).toMatchObject({ status: 'granted' });
  });

  test('is away for longer throws that it could not be reached', async () => {
    await client.allocate('user-1', {}, { timeoutMs: 2_000 });
    await server.kill();
    await expect(client.allocate('user-2', {}, { timeoutMs: 300 })).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
    await expect(client.release({ deviceId: '00000000-0000-0000-0000-000000000001' }, { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'QUEUE_UNAVAILABLE',
    });
  });
});
