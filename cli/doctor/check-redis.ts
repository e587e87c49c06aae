import { assertNoEviction, closeRedis, createRedis, memoryUse, type RedisAddress, whenReady } from '../../shared/run/redis.ts';
import { type Finding, fine } from './finding.ts';
import { reasonOf } from './reason-of.ts';

const TIMEOUT_MS = 5_000;
/** New requests are refused from 70 % on. */
const FILLING = 0.5;
const FULL = 0.7;

/** Whether Redis can be used: reachable, keeping every key, with room left. */
export async function checkRedis(address: RedisAddress): Promise<Finding[]> {
  const place = placeOf(address);
  let why: string | undefined;
  const log = {
    info: () => undefined,
    warn: (details: object) => {
      why = 'err' in details ? reasonOf(details.err) : why;
    },
  };
  const redis = createRedis('cache', address, log);
  try {
    await whenReady(redis, TIMEOUT_MS);
    const used = await memoryUse(redis);
    return [fine('redis', `${place} answers`), await policy(redis), memory(used)];
  } catch (error) {
    const fix = ['Start it (`npm run services -- up` for development), and check REDIS_URL or REDIS_*: host, port, password, database.'];
    return [{ name: 'redis', status: 'failed', says: `${place} cannot be used: ${why ?? reasonOf(error)}`, fix }];
  } finally {
    closeRedis(redis);
  }
}

function placeOf({ url, clusterNodes, sentinels }: RedisAddress): string {
  if (sentinels !== undefined) return `${sentinels.name} of the Sentinels ${sentinels.nodes.join(', ')}`;
  return clusterNodes.length > 0 ? clusterNodes.join(', ') : new URL(url).host;
}

async function policy(redis: Parameters<typeof assertNoEviction>[0]): Promise<Finding> {
  try {
    await assertNoEviction(redis);
    return fine('redis policy', 'maxmemory-policy is noeviction');
  } catch (error) {
    const fix = ['redis-cli CONFIG SET maxmemory-policy noeviction', 'and the same in redis.conf: `maxmemory-policy noeviction`.'];
    return { name: 'redis policy', status: 'failed', says: reasonOf(error), fix };
  }
}

function memory(used: number): Finding {
  const says = used === 0 ? 'it has no limit, or nothing in it' : `${Math.round(used * 100)} % of maxmemory are used`;
  if (used < FILLING) return fine('redis memory', says);
  const fix = ['Raise maxmemory, or add allocation workers until less waits; new requests are refused from 70 % on.'];
  return { name: 'redis memory', status: used < FULL ? 'warning' : 'failed', says, fix };
}
