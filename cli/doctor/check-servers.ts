import type { ServerAddresses } from '../session.ts';
import { checkBroker } from './check-broker.ts';
import { checkPostgres } from './check-postgres.ts';
import { checkRedis } from './check-redis.ts';
import { type Finding, fine } from './finding.ts';

const TIMEOUT_MS = 3_000;

/** Looks at every server a process here would use. */
export async function checkServers(addresses: ServerAddresses): Promise<Finding[]> {
  const found = await Promise.all([
    checkPostgres(addresses.databaseUrl),
    checkRedis(addresses.redis),
    checkBroker(addresses.rabbitmqUrl),
    ...Object.entries(addresses.neighbourUrls).map(([variable, url]) => checkNeighbour(variable, url)),
  ]);
  return found.flat();
}

/** Any answer will do: what counts is that somebody is there. */
async function checkNeighbour(variable: string, url: string): Promise<Finding[]> {
  const name = variable.toLowerCase().replace('_url', '').replaceAll('_', '-');
  try {
    await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'manual' });
    return [fine(name, `somebody answers at ${url}`)];
  } catch {
    // Whatever the reason, the address is what to look at.
    return [{ name, status: 'failed', says: `nobody answers at ${url}`, fix: [`Start it, or set ${variable} right.`] }];
  }
}
