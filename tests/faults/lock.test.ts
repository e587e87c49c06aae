import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLogger } from '../../shared/logger.ts';
import { createLocks, type Locks } from '../../shared/run/lock.ts';
import { closeRedis, type RedisClient } from '../../shared/run/redis.ts';
import { eventually } from '../support/eventually.ts';
import { openRedis } from '../support/open-redis.ts';
import { createTestPrefix, redisUrl, type TestPrefix } from '../support/redis.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

const TTL_MS = 1_500;
const logger = createLogger('test', 'silent');

let corner: TestPrefix;
let proxy: TcpProxy;
let shaky: RedisClient;
let steady: RedisClient;
let holder: Locks;
let other: Locks;

beforeEach(async () => {
  corner = createTestPrefix();
  proxy = await startTcpProxy(new URL(redisUrl()));
  [shaky, steady] = await Promise.all([
    openRedis('producer', { url: `redis://127.0.0.1:${proxy.port}/0`, clusterNodes: [] }),
    openRedis('producer'),
  ]);
  holder = createLocks(shaky, { ttlMs: TTL_MS, prefix: corner.prefix, logger });
  other = createLocks(steady, { ttlMs: TTL_MS, prefix: corner.prefix, logger });
});

afterEach(async () => {
  closeRedis(shaky);
  closeRedis(steady);
  await proxy.close();
  await corner.clean();
});

const tokenOf = (key: string) => steady.get(`${corner.prefix}:lock:${key}`);
const aborted = (signal: AbortSignal) => new Promise((resolve) => signal.addEventListener('abort', resolve));

describe('a lock', () => {
  test('is held by one, and what is free of the others is taken all the same', async () => {
    const first = await holder.acquire(['user:1', 'user:2', 'user:1']);
    const second = await other.acquire(['user:2', 'user:3']);
    expect([...first.held]).toEqual(['user:1', 'user:2']);
    expect([...second.held]).toEqual(['user:3']);
    await first.release();
    const third = await other.acquire(['user:2']);
    expect([...third.held]).toEqual(['user:2']);
    await Promise.all([second.release(), third.release()]);
    expect(await steady.keys(`${corner.prefix}*`)).toEqual([]);
  });

  test('lives for as long as its holder does', async () => {
    const lease = await holder.acquire(['user:1']);
    const until = performance.now() + 3 * TTL_MS;
    await eventually(async () => {
      expect((await other.acquire(['user:1'])).held.size).toBe(0);
      expect(performance.now()).toBeGreaterThan(until);
    });
    expect(lease.lost.aborted).toBe(false);
    await lease.release();
  });

  test('of a holder that was frozen for twice its life is another one’s, and stays that when the holder wakes', async () => {
    const frozen = await holder.acquire(['user:1']);
    const lost = aborted(frozen.lost);
    const wakes = performance.now() + 2 * TTL_MS;
    proxy.stall();
    const taken = await eventually(async () => {
      const lease = await other.acquire(['user:1']);
      expect(lease.held.size).toBe(1);
      return lease;
    });
    const token = await tokenOf('user:1');
    await eventually(() => expect(performance.now()).toBeGreaterThan(wakes));
    proxy.resume();
    await lost;
    await frozen.release();
    expect(await tokenOf('user:1')).toBe(token);
    expect(taken.lost.aborted).toBe(false);
    await taken.release();
    expect(await tokenOf('user:1')).toBeNull();
  });

  test('that somebody deleted is reported lost', async () => {
    const lease = await holder.acquire(['user:1', 'user:2']);
    const lost = aborted(lease.lost);
    await steady.del(`${corner.prefix}:lock:user:2`);
    await lost;
    expect(lease.lost.reason).toEqual(new Error('1 of 2 locks were lost'));
    await lease.release();
  });

  test('is not waited for when Redis is away: work goes on unguarded', async () => {
    const before = await holder.acquire(['user:1']);
    const lost = aborted(before.lost);
    proxy.cut();
    const lease = await holder.acquire(['user:1', 'user:2']);
    expect([lease.guarded, [...lease.held]]).toEqual([false, ['user:1', 'user:2']]);
    await lost;
    await lease.release();
    await before.release();
  });

  test('of nothing costs nothing', async () => {
    const lease = await holder.acquire([]);
    expect([lease.guarded, lease.held.size]).toEqual([true, 0]);
    await lease.release();
    const taken = await other.acquire(['user:1']);
    const none = await holder.acquire(['user:1']);
    await none.release();
    expect(await tokenOf('user:1')).not.toBeNull();
    await taken.release();
  });
});
