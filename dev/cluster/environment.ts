import type { Config } from '../../shared/config.ts';
import { freePort, freePortNear } from './ports.ts';
import type { ClusterOptions } from './start-cluster.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The three neighbours, and how the stand-ins are told the port of each. */
const NEIGHBOURS = [
  { name: 'user-service', variable: 'USER_SERVICE_URL', option: '--user-port' },
  { name: 'billing-service', variable: 'BILLING_SERVICE_URL', option: '--billing-port' },
  { name: 'notification-service', variable: 'NOTIFICATION_SERVICE_URL', option: '--notification-port' },
] as const satisfies readonly { name: string; variable: keyof Config; option: string }[];

/** What a cluster is started with, and what to tell a person about it. */
export interface ClusterEnvironment {
  readonly env: Environment;
  readonly standIns: ClusterOptions['standIns'];
  readonly notes: readonly string[];
}

/**
 * Settles addresses: what was said is used as it is, what was not gets its usual port, or a free one where that is taken.
 * Neighbours nobody named are stood in for.
 *
 * @param said    variables set by a person or in a file
 * @param config  the same, checked and with defaults
 */
export async function clusterEnvironment(said: Environment, config: Config): Promise<ClusterEnvironment> {
  const isSaid = (name: string) => (said[name] ?? '') !== '';
  const portFor = async (name: 'PORT' | 'DASHBOARD_PORT') =>
    String(isSaid(name) && config[name] !== 0 ? config[name] : await freePortNear(config[name]));
  const missing = NEIGHBOURS.filter(({ variable }) => !isSaid(variable));
  const urls: Record<string, string> = {};
  const args: string[] = [];
  for (const { variable, option } of NEIGHBOURS) {
    // The process stands in for all three; one that is there already gets a double nobody asks.
    const port = isSaid(variable) ? await freePort() : await freePortNear(Number(new URL(config[variable]).port));
    if (!isSaid(variable)) urls[variable] = `http://127.0.0.1:${port}`;
    args.push(option, String(port));
  }
  return {
    env: { ...said, ...urls, PORT: await portFor('PORT'), DASHBOARD_PORT: await portFor('DASHBOARD_PORT') },
    standIns: missing.length === 0 ? undefined : { args, summaryPort: await freePort() },
    notes: missing.map(({ name, variable }) => `${variable} is not set: a stand-in answers for ${name} on ${urls[variable]}`),
  };
}
