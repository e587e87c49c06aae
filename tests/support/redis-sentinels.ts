import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../dev/cluster/ports.ts';
import { closeRedis, type RedisAddress } from '../../shared/run/redis.ts';
import { eventually } from './eventually.ts';
import { openRedis } from './open-redis.ts';
import { type PrivateRedis, startPrivateRedis } from './private-redis.ts';

/** What the Sentinels call the primary. */
const NAME = 'mymaster';

/** A primary, two replicas, and three Sentinels of a test's own that agree within some seconds that a primary is gone. */
export interface RedisSentinels {
  readonly address: RedisAddress;
  /** The server the Sentinels call the primary at the moment. */
  primary(): Promise<PrivateRedis>;
  /** The others that are still there. */
  replicas(): Promise<readonly PrivateRedis[]>;
  /** Resolves when another server than this is the primary, and takes writes. */
  untilPromoted(instead: PrivateRedis): Promise<PrivateRedis>;
  stop(): Promise<void>;
}

const portOf = ({ address }: PrivateRedis) => new URL(address.url).port;

export async function startRedisSentinels(): Promise<RedisSentinels> {
  const folder = await mkdtemp(join(tmpdir(), 'redis-sentinels-'));
  // What a replica is sent at first passes through a file.
  const settings = ['--repl-diskless-sync-delay', '0', '--dir', folder];
  const first = await startPrivateRedis(...settings, '--dbfilename', 'first');
  const replicaOf = ['--replicaof', `127.0.0.1 ${portOf(first)}`];
  const servers = [first];
  for (const name of ['second', 'third']) servers.push(await startPrivateRedis(...settings, ...replicaOf, '--dbfilename', name));
  const sentinels: { readonly port: number; end(): Promise<void> }[] = [];
  for (const name of ['one', 'two', 'three']) sentinels.push(await startSentinel(join(folder, `${name}.conf`), portOf(first)));
  const nodes = sentinels.map(({ port }) => `127.0.0.1:${port}`);
  const asked = `redis://${nodes[0]}`;
  await eventually(() => agree(asked), 20_000);

  async function primary(): Promise<PrivateRedis> {
    const port = await askSentinel(asked, async (sentinel) => {
      const [, found] = (await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)) as string[];
      return found;
    });
    const found = servers.find((server) => portOf(server) === port);
    if (found === undefined) throw new Error(`there is no server on ${port}`);
    return found;
  }

  return {
    address: { url: 'redis://127.0.0.1/0', clusterNodes: [], sentinels: { nodes, name: NAME, password: '' } },
    primary,
    replicas: async () => {
      const writes = await primary();
      return servers.filter((server) => server !== writes);
    },
    untilPromoted: (instead) =>
      eventually(async () => {
        const now = await primary();
        if (now === instead) throw new Error('no other server is the primary yet');
        await askSentinel(now.address.url, async (redis) => {
          if (!(await redis.info('replication')).includes('role:master')) throw new Error('the new primary is a replica still');
        });
        return now;
      }, 40_000),
    stop: async () => {
      for (const { end } of sentinels) await end();
      for (const server of servers) await server.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** All three know each other and both replicas: only then a primary may go. */
async function agree(url: string): Promise<void> {
  await askSentinel(url, async (sentinel) => {
    const facts = (await sentinel.call('SENTINEL', 'MASTER', NAME)) as string[];
    const count = (name: string) => Number(facts[facts.indexOf(name) + 1]);
    if (count('num-slaves') < 2 || count('num-other-sentinels') < 2) throw new Error('the Sentinels do not know everybody yet');
  });
}

async function askSentinel<T>(url: string, ask: (redis: Awaited<ReturnType<typeof openRedis>>) => Promise<T>): Promise<T> {
  const redis = await openRedis('cache', { url, clusterNodes: [] });
  try {
    return await ask(redis);
  } finally {
    closeRedis(redis);
  }
}

async function startSentinel(file: string, primaryPort: string): Promise<{ port: number; end(): Promise<void> }> {
  const port = await freePort();
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `sentinel monitor ${NAME} 127.0.0.1 ${primaryPort} 2`,
    `sentinel down-after-milliseconds ${NAME} 2000`,
    `sentinel failover-timeout ${NAME} 1000`,
    `sentinel parallel-syncs ${NAME} 2`,
  ];
  await writeFile(file, settings.join('\n'));
  const child: ChildProcess = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
  const killAtExit = () => child.kill('SIGKILL');
  process.once('exit', killAtExit);
  await askSentinel(`redis://127.0.0.1:${port}`, (sentinel) => sentinel.ping());
  return {
    port,
    end: async () => {
      process.off('exit', killAtExit);
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}
