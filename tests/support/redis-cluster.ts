import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RedisAddress } from '../../shared/run/redis.ts';
import { type PrivateRedis, startPrivateRedis } from './private-redis.ts';

const run = promisify(execFile);

export interface RedisCluster {
  readonly address: RedisAddress;
  stop(): Promise<void>;
}

/** Three primaries without replicas, the slots shared out among them. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'redis-cluster-'));
  const servers: PrivateRedis[] = [];
  for (const name of ['one', 'two', 'three']) {
    servers.push(await startPrivateRedis('--cluster-enabled', 'yes', '--dir', folder, '--cluster-config-file', `${name}.conf`));
  }
  const nodes = servers.map(({ address }) => new URL(address.url).host);
  await run('redis-cli', ['--cluster', 'create', ...nodes, '--cluster-yes']);
  return {
    address: { url: 'redis://127.0.0.1', clusterNodes: nodes },
    stop: async () => {
      for (const server of servers) await server.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
