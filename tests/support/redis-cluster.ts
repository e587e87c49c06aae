import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { closeRedis, type RedisAddress } from '../../shared/run/redis.ts';
import { openRedis } from './open-redis.ts';
import { type PrivateRedis, startPrivateRedis } from './private-redis.ts';

const run = promisify(execFile);

export interface RedisCluster {
  readonly address: RedisAddress;
  /** The primary that has this key. */
  primaryOf(key: string): Promise<PrivateRedis>;
  stop(): Promise<void>;
}

/**
 * Three primaries, the slots shared out among them.
 *
 * @param replicas  of each primary; one that is gone for three seconds is replaced by a replica of it
 */
export async function startRedisCluster(replicas: 0 | 1 = 0): Promise<RedisCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'redis-cluster-'));
  const settings = ['--cluster-enabled', 'yes', '--dir', folder, '--cluster-node-timeout', '3000', '--repl-diskless-sync-delay', '0'];
  const servers: PrivateRedis[] = [];
  for (let number = 0; number < 3 * (1 + replicas); number += 1) {
    servers.push(await startPrivateRedis(...settings, '--cluster-config-file', `${number}.conf`, '--dbfilename', `${number}.rdb`));
  }
  const nodes = servers.map(hostOf);
  await run('redis-cli', ['--cluster', 'create', ...nodes, '--cluster-replicas', String(replicas), '--cluster-yes']);
  const address = { url: 'redis://127.0.0.1', clusterNodes: nodes };
  return {
    address,
    primaryOf: async (key) => {
      const port = await portOfKey(address, key);
      const found = servers.find((server) => hostOf(server).endsWith(`:${port}`));
      if (found === undefined) throw new Error(`there is no server on ${port}`);
      return found;
    },
    stop: async () => {
      for (const server of servers) await server.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const hostOf = ({ address }: PrivateRedis) => new URL(address.url).host;

async function portOfKey(address: RedisAddress, key: string): Promise<number> {
  const redis = await openRedis('cache', address);
  const slot = await redis.cluster('KEYSLOT', key);
  const ranges = await redis.cluster('SLOTS');
  closeRedis(redis);
  const [, , primary] = ranges.find(([from, to]) => from <= slot && slot <= to) ?? [];
  return primary?.[1] ?? 0;
}
