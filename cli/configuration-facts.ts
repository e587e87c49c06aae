import type { ConfigurationFacts, ServerAddresses } from './session.ts';

/** What is needed of the checked configuration. */
interface Checked {
  readonly DATABASE_URL: string;
  readonly REDIS_ADDRESS: ServerAddresses['redis'];
  readonly QUEUE_PREFIX: string;
  readonly RABBITMQ_URL: string;
  readonly USER_SERVICE_URL: string;
  readonly BILLING_SERVICE_URL: string;
  readonly NOTIFICATION_SERVICE_URL: string;
}

type Loaded =
  | { readonly ok: true; readonly config: Checked; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly problems: readonly { readonly variable: string; readonly problem: string }[] };

const NEIGHBOURS = ['USER_SERVICE_URL', 'BILLING_SERVICE_URL', 'NOTIFICATION_SERVICE_URL'] as const;

/**
 * The configuration as `doctor` looks at it.
 *
 * @param loaded  what `loadConfig` found
 * @param said    what it was given, to know what was set and what is a default
 */
export function configurationFacts(loaded: Loaded, said: Readonly<Record<string, string | undefined>>): ConfigurationFacts {
  const names = Object.keys(said).filter((name) => (said[name] ?? '') !== '');
  if (!loaded.ok) return { problems: loaded.problems, warnings: [], said: names, servers: undefined };
  return { problems: [], warnings: loaded.warnings, said: names, servers: addressesOf(loaded.config, names) };
}

function addressesOf(config: Checked, names: readonly string[]): ServerAddresses {
  return {
    databaseUrl: config.DATABASE_URL,
    redis: config.REDIS_ADDRESS,
    queuePrefix: config.QUEUE_PREFIX,
    rabbitmqUrl: config.RABBITMQ_URL,
    neighbourUrls: Object.fromEntries(NEIGHBOURS.filter((name) => names.includes(name)).map((name) => [name, config[name]])),
  };
}
