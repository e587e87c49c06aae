/** What the command takes from its environment, read once by `main.ts`. */
export interface CliEnvironment {
  readonly production: boolean;
  /** `SCHEDULER_URL`, or the API of this machine by `HOST` and `PORT`. */
  readonly url: string;
  /** `SCHEDULER_TOKEN`. */
  readonly token: string | undefined;
  /** Keys a token of our own can be signed with; never in production. */
  readonly userSecret: string | undefined;
  readonly serviceSecret: string | undefined;
  readonly allowedServices: readonly string[];
  readonly noColour: boolean;
  readonly forceColour: boolean;
  /** `COLUMNS`, where there is no terminal to ask. */
  readonly columns: number | undefined;
  /** IANA name of the local time zone. */
  readonly timeZone: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_PORT = '30002';
const ANY_ADDRESS = ['0.0.0.0', '::', ''];

/** Picks what the command needs. Nothing is checked yet: a wrong value is told by the verb that uses it. */
export function readCliEnvironment(environment: Environment): CliEnvironment {
  const said = (name: string) => (environment[name] === '' ? undefined : environment[name]);
  const production = said('NODE_ENV') === 'production';
  const userSecret = production ? undefined : said('JWT_SECRET');
  return {
    production,
    url: said('SCHEDULER_URL') ?? `http://${hostOf(said('HOST'))}:${said('PORT') ?? DEFAULT_PORT}`,
    token: said('SCHEDULER_TOKEN'),
    userSecret,
    serviceSecret: production ? undefined : (said('SERVICE_TOKEN_SECRET') ?? userSecret),
    allowedServices: (said('SERVICE_ALLOW_LIST') ?? '')
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== ''),
    noColour: said('NO_COLOR') !== undefined,
    forceColour: (said('FORCE_COLOR') ?? '0') !== '0',
    columns: Number(said('COLUMNS')) || undefined,
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  };
}

/** An API that listens everywhere is asked on the loopback. */
function hostOf(host = '127.0.0.1'): string {
  if (ANY_ADDRESS.includes(host)) return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
