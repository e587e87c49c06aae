import type { ServerAddresses } from '../session.ts';
import type { Finding } from './finding.ts';

/** Looks at Postgres, Redis and RabbitMQ themselves. */
export type CheckServers = (addresses: ServerAddresses) => Promise<Finding[]>;

/**
 * The checks that need Prisma, ioredis and amqplib. A packed installation has none of them, and not this file either: it is
 * named by a value and not by an import, so that the compiler does not pull the servers' half of the product into the package.
 *
 * @returns nothing where only the package is installed
 */
export async function loadServerChecks(): Promise<CheckServers | undefined> {
  if (!import.meta.url.endsWith('.ts')) return undefined;
  const file = new URL('./check-servers.ts', import.meta.url).href;
  try {
    const loaded = (await import(file)) as { checkServers: CheckServers };
    return loaded.checkServers;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}
