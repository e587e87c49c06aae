import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { SchedulerClient } from '../../queues/client.ts';
import { allocatePayload } from '../../queues/jobs/allocate.ts';
import { checked } from '../../shared/run/queue-worker.ts';
import { eventually } from '../support/eventually.ts';
import { type PrivateRedis, startPrivateRedis } from '../support/private-redis.ts';
import { openQueueBench, type QueueBench } from '../support/queue-bench.ts';

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
    await client.allocate('user-1', {}, { timeoutMs: 50 });
    await server.kill();
    await expect(client.allocate('user-2', {}, { timeoutMs: 300 })).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
    await expect(client.release({ deviceId: '00000000-0000-0000-0000-000000000001' }, { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'QUEUE_UNAVAILABLE',
    });
  });
});
