import { z } from 'zod';
import { LANGUAGES } from './notices/words.ts';
import { renewalPolicies } from './renewal/policy.ts';

/**
 * Everything the environment may say, read once at start. Only `main.ts` files (and tests) import this; what they read
 * is handed on as plain values. `.env.example` and `docs/configuration.md` are generated from the table below.
 */

const TRUE = ['true', '1', 'yes', 'on'];
const FALSE = ['false', '0', 'no', 'off'];

/** A boolean said in words. `false`, `0`, `no`, `off` are false; anything unknown is an error, never "truthy". */
const flag = (fallback: boolean) =>
  z
    .string()
    .default(String(fallback))
    .transform((text, context) => {
      const word = text.trim().toLowerCase();
      if (TRUE.includes(word)) return true;
      if (FALSE.includes(word)) return false;
      context.addIssue({ code: 'custom', message: `must be one of ${[...TRUE, ...FALSE].join(', ')}` });
      return z.NEVER;
    });

const integer = (fallback: number, min: number, max: number) =>
  z.coerce.number({ error: 'must be a number' }).int('must be a whole number').min(min).max(max).default(fallback);

const list = () =>
  z
    .string()
    .default('')
    .transform((text) =>
      text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== ''),
    );

/** Servers as host:port, an IPv6 address in brackets. */
const nodes = () =>
  list().refine((all) => all.every((node) => /^(\[[\da-f:]+\]|[^\s:]+):\d{1,5}$/i.test(node)), 'must be host:port, comma-separated');

const url = (...protocols: string[]) =>
  z
    .string()
    .refine(
      (text) => URL.canParse(text) && protocols.includes(new URL(text).protocol),
      `must be a URL starting with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
    );

const secret = () => z.string().min(32, 'must have at least 32 characters');

const policies = () =>
  z
    .string()
    .default('')
    .transform((text, context) => {
      const read = renewalPolicies(text);
      if ('policies' in read) return read.policies;
      for (const problem of read.problems) context.addIssue({ code: 'custom', message: problem });
      return z.NEVER;
    });

const MINUTE_S = 60;

const variables = z.object({
  NODE_ENV: z.enum(['development', 'test', 'production']).default('development').describe('Which kind of process this is'),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info').describe('Lowest level that is logged'),
  HOST: z.string().default('127.0.0.1').describe('Address the API and the dashboard listen on'),
  PORT: integer(30002, 0, 65535).describe('Port of the HTTP API'),
  DASHBOARD_PORT: integer(30003, 0, 65535).describe('Port of the dashboard'),
  METRICS_HOST: z.string().default('127.0.0.1').describe('Address of the metrics listener of each process'),
  METRICS_PORT: integer(30004, 0, 65535).describe(
    'Port of the metrics listener: of the API by default, of another process when it is set for it (else a free port)',
  ),
  TRUST_PROXY: flag(false).describe('Believe X-Forwarded-* headers'),
  JWT_SECRET: secret().describe('Key of user tokens (HS256)'),
  SERVICE_TOKEN_SECRET: secret().optional().describe('Key of service tokens (HS256); falls back to JWT_SECRET'),
  SERVICE_ALLOW_LIST: list().describe('Services whose tokens are accepted, comma-separated'),
  DASHBOARD_USER: z.string().min(1).default('admin').describe('Name to log in to the dashboard with'),
  DASHBOARD_PASSWORD: z.string().min(12, 'must have at least 12 characters').describe('Password to log in to the dashboard with'),
  DASHBOARD_VIEWER_USER: z.string().min(1).default('viewer').describe('Name of who may look at the dashboard and change nothing'),
  DASHBOARD_VIEWER_PASSWORD: z
    .string()
    .min(12, 'must have at least 12 characters')
    .optional()
    .describe('Password of who may only look; not set: there is nobody like that'),
  DATABASE_URL: url('postgresql:', 'postgres:').optional().describe('Postgres; else it is put together from DB_*'),
  DB_HOST: z.string().default('localhost').describe('Postgres host'),
  DB_PORT: integer(5432, 1, 65535).describe('Postgres port'),
  DB_USERNAME: z.string().default('postgres').describe('Postgres user'),
  DB_PASSWORD: z.string().default('').describe('Postgres password'),
  DB_DATABASE: z.string().default('cloudphone_device').describe('Postgres database'),
  DB_POOL_SIZE: integer(10, 1, 200).describe('Connections to Postgres per process'),
  DB_ACQUIRE_TIMEOUT_MS: integer(3_000, 100, 60_000).describe('Longest wait for a connection of the pool, ms'),
  DB_STATEMENT_TIMEOUT_MS: integer(8_000, 100, 600_000).describe('Longest statement, ms'),
  REDIS_URL: url('redis:', 'rediss:').optional().describe('Redis or Valkey; else it is put together from REDIS_*'),
  REDIS_HOST: z.string().default('localhost').describe('Redis host'),
  REDIS_PORT: integer(6379, 1, 65535).describe('Redis port'),
  REDIS_PASSWORD: z.string().default('').describe('Redis password'),
  REDIS_DB: integer(0, 0, 1023).describe('Redis database number'),
  REDIS_CLUSTER_NODES: nodes().describe('host:port of Redis Cluster nodes, comma-separated; empty = not a cluster'),
  REDIS_SENTINELS: nodes().describe('host:port of Redis Sentinels, comma-separated; empty = no Sentinel'),
  REDIS_SENTINEL_NAME: z.string().optional().describe('Name the Sentinels have for the primary, such as mymaster'),
  REDIS_SENTINEL_PASSWORD: z.string().default('').describe('Password of the Sentinels themselves; empty = they ask for none'),
  QUEUE_PREFIX: z
    .string()
    .regex(/^\{[^{}]+\}/, 'must start with a hash tag such as {scheduler}')
    .default('{scheduler}')
    .describe('Prefix of every key in Redis'),
  RABBITMQ_URL: z
    .union([z.literal(''), url('amqp:', 'amqps:')])
    .default('')
    .describe('RabbitMQ; empty = events off'),
  WORKER_CONCURRENCY: integer(400, 1, 2_000).describe('Jobs a worker process works on at once'),
  GROUP_COMMIT_MAX: integer(200, 1, 1_000).describe('Most requests one transaction decides'),
  GROUP_COMMIT_PARALLEL: integer(2, 1, 16).describe('Transactions one worker process runs at once'),
  USER_LOCKS: flag(true).describe('Take Redis locks per user and device in front of the database; correctness does not need them'),
  MAX_WAITING_JOBS: integer(200_000, 1, 10_000_000).describe('Waiting jobs above which new requests are refused with OVERLOADED'),
  AVAILABLE_CACHE_TTL: integer(10, 1, 3_600).describe('Life of the cached list of available devices, s'),
  TURNAROUND_SECONDS: integer(0, 0, 86_400).describe(
    'Gap kept free around the reservations of a device, s; CLEANING_TIMEOUT if that is longer',
  ),
  CLEANING_TIMEOUT: integer(0, 0, 86_400).describe('Time a released device is being cleaned before it is free again, s; 0 = off'),
  NO_SHOW_MINUTES: integer(10, 0, 1_440).describe(
    'How long a started reservation waits for its holder before it is released; 0 = for ever',
  ),
  RESERVATION_HORIZON_DAYS: integer(30, 1, 366).describe('How far ahead the occurrences of a recurring reservation are made'),
  EXPIRY_TICK: integer(1, 1, 3_600).describe('How often due allocations are ended, s'),
  RENEWAL_POLICIES: policies().describe(
    'What differs from the usual limits of extensions, by tier, as JSON: {"free":{"maxCount":3,"maxMinutesEach":30,"maxTotalMinutes":120,"cooldownSeconds":300,"windowMinutes":30}}; null = no limit',
  ),
  AUTO_EXTEND_LEAD: integer(120, 30, 3_600).describe('How long before its end an allocation asked for with autoExtend is extended, s'),
  HEARTBEAT_GRACE: integer(10, 0, 3_600).describe('Silence allowed on top of heartbeatSeconds before a device is taken back, s'),
  SHUTDOWN_TIMEOUT: integer(25, 1, 600).describe('Longest orderly shutdown, s'),
  USER_SERVICE_URL: url('http:', 'https:').default('http://localhost:30001').describe('user-service'),
  BILLING_SERVICE_URL: url('http:', 'https:').default('http://localhost:30005').describe('billing-service'),
  NOTIFICATION_SERVICE_URL: url('http:', 'https:').default('http://localhost:30006').describe('notification-service'),
  QUOTA_ALLOW_ON_ERROR: flag(false).describe(
    'Go on with the last known limits when the quota cannot be read: those of the last day, else those the last grant went by',
  ),
  QUOTA_FALLBACK_MAX_DEVICES: integer(1, 0, 10_000).describe(
    'Limit of devices when no limit was ever known and QUOTA_ALLOW_ON_ERROR is on',
  ),
  QUOTA_CACHE_TTL: integer(MINUTE_S, 1, 86_400).describe('Life of a cached quota, s'),
  BILLING_ALLOW_ON_ERROR: flag(true).describe(
    'Let an allocation through when the balance cannot be read, unless the last known one of five minutes forbids it; its record says so',
  ),
  BILLING_RESERVE_FULL_TERM: flag(false).describe(
    'Grant and extend only what the balance covers for the whole term, by the costPerHour of the device; one without a price costs nothing',
  ),
  BALANCE_CACHE_TTL: integer(30, 1, 86_400).describe('Life of a cached balance, s'),
  BILLING_MAX_ATTEMPTS: integer(10, 1, 100).describe('Deliveries of a bill before it becomes a dead letter'),
  DELIVERY_BACKOFF_BASE_MS: integer(1_000, 10, 3_600_000).describe('First pause of a repeated delivery, ms'),
  DELIVERY_BACKOFF_MAX_MS: integer(15 * MINUTE_S * 1_000, 10, 86_400_000).describe('Longest pause of a repeated delivery, ms'),
  NOTIFICATION_MAX_ATTEMPTS: integer(10, 1, 100).describe('Deliveries of a notice before it becomes a dead letter'),
  NOTIFICATION_RATE_LIMIT: integer(60, 1, 1_000_000).describe('Notices a user is sent per minute; later ones wait, urgent ones do not'),
  NOTIFICATION_LANGUAGE: z.enum(LANGUAGES).default('zh').describe('Language of title and message; both languages are always in the data'),
  NOTIFICATION_TIME_ZONE: z.string().default('UTC').describe('Time zone of moments in notices'),
  RELOCATE_ON_FAILURE: flag(true).describe('Give who holds a device that fails another one if one is free'),
  PAYMENT_FAILURE_THRESHOLD: integer(3, 1, 1_000).describe('Failed payments in a row that count as arrears'),
  RATE_LIMIT_READ: integer(100, 1, 10_000_000).describe('Reads a user may make per minute'),
  RATE_LIMIT_WRITE: integer(30, 1, 10_000_000).describe('Writes a user may make per minute'),
  RATE_LIMIT_BATCH: integer(10, 1, 10_000_000).describe('Batch calls a user may make per minute'),
  RATE_LIMIT_SERVICE_FACTOR: integer(100, 1, 1_000_000).describe('How many times the limits of a user a service has'),
  RETENTION_DAYS: integer(30, 1, 3_650).describe('Days an ended allocation is kept'),
  IDEMPOTENCY_RETENTION_HOURS: integer(24, 1, 8_760).describe('Hours an idempotency key is remembered'),
  CLEANUP_TZ: z.string().default('UTC').describe('Time zone of the daily cleanup'),
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .union([z.literal(''), url('http:', 'https:')])
    .default('')
    .describe(
      'Base address of an OpenTelemetry collector that takes OTLP over HTTP, such as http://collector:4318; empty = no spans are recorded',
    ),
  SCHEDULER_URL: url('http:', 'https:').optional().describe('The API the command line asks; else the one of this machine on PORT'),
  SCHEDULER_TOKEN: z.string().optional().describe('Token the command line shows; else one made from the secrets, outside of production'),
});

type Variables = z.output<typeof variables>;

/** The checked configuration: the variables above, with the connection addresses put together. */
export type Config = Readonly<
  Omit<Variables, 'DATABASE_URL' | 'REDIS_URL' | 'SERVICE_TOKEN_SECRET'> & {
    DATABASE_URL: string;
    REDIS_URL: string;
    SERVICE_TOKEN_SECRET: string;
    /** Where Redis is, whichever way it was said: a server, a cluster, or what Sentinels point to. */
    REDIS_ADDRESS: {
      readonly url: string;
      readonly clusterNodes: readonly string[];
      readonly sentinels: { readonly nodes: readonly string[]; readonly name: string; readonly password: string } | undefined;
    };
    /** Port of the metrics listener of a process that is not the API: 0 (a free one) unless METRICS_PORT was set. */
    METRICS_PORT_OF_WORKER: number;
  }
>;

/** One wrong variable. */
export interface ConfigProblem {
  readonly variable: string;
  readonly problem: string;
}

/** What `loadConfig` found: the configuration and warnings, or every problem at once. */
export type ConfigResult =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Rows for `.env.example` and the docs page: name, sentence, default as text (or none). */
export function describeVariables(): readonly { name: string; description: string; fallback: string | undefined }[] {
  return Object.entries(variables.shape).map(([name, schema]) => {
    const parsed = schema.safeParse(undefined);
    const fallback = parsed.success && parsed.data !== undefined ? shown(parsed.data) : undefined;
    return { name, description: schema.description ?? '', fallback };
  });
}

/** A default as text. What is written as JSON is empty by default. */
function shown(value: unknown): string {
  return typeof value === 'object' && !Array.isArray(value) ? '' : String(value);
}

/**
 * Checks the environment against the table.
 *
 * @param environment  usually `process.env`; an empty text counts as "not set"
 * @returns the configuration, or every problem with the variable's name. Never throws.
 */
export function loadConfig(environment: Readonly<Record<string, string | undefined>>): ConfigResult {
  const said = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = variables.safeParse(said);
  const problems = parsed.success ? relationProblems(parsed.data) : parsed.error.issues.map(toProblem);
  if (!parsed.success || problems.length > 0) return { ok: false, problems };
  return { ok: true, config: withAddresses(parsed.data, said['METRICS_PORT'] !== undefined), warnings: unknownNames(said) };
}

function toProblem(issue: z.core.$ZodIssue): ConfigProblem {
  const missing = issue.code === 'invalid_type' && issue.message.includes('undefined');
  return { variable: issue.path.join('.'), problem: missing ? 'is not set and has no default' : issue.message };
}

function relationProblems(values: Variables): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (values.DELIVERY_BACKOFF_BASE_MS > values.DELIVERY_BACKOFF_MAX_MS) {
    problems.push({ variable: 'DELIVERY_BACKOFF_BASE_MS', problem: 'must not exceed DELIVERY_BACKOFF_MAX_MS' });
  }
  if (values.DASHBOARD_VIEWER_PASSWORD !== undefined && values.DASHBOARD_VIEWER_USER === values.DASHBOARD_USER) {
    problems.push({ variable: 'DASHBOARD_VIEWER_USER', problem: 'must not be DASHBOARD_USER' });
  }
  for (const variable of ['CLEANUP_TZ', 'NOTIFICATION_TIME_ZONE'] as const) {
    if (!isTimeZone(values[variable])) problems.push({ variable, problem: 'must be an IANA time zone such as Europe/Berlin' });
  }
  if (values.GROUP_COMMIT_PARALLEL > values.DB_POOL_SIZE) {
    problems.push({ variable: 'GROUP_COMMIT_PARALLEL', problem: 'must not exceed DB_POOL_SIZE' });
  }
  return [...problems, ...sentinelProblems(values)];
}

function sentinelProblems({
  REDIS_SENTINELS,
  REDIS_SENTINEL_NAME,
  REDIS_SENTINEL_PASSWORD,
  REDIS_CLUSTER_NODES,
}: Variables): ConfigProblem[] {
  if (REDIS_SENTINELS.length === 0) {
    const missing = { variable: 'REDIS_SENTINELS', problem: 'must be set beside REDIS_SENTINEL_NAME and REDIS_SENTINEL_PASSWORD' };
    return REDIS_SENTINEL_NAME === undefined && REDIS_SENTINEL_PASSWORD === '' ? [] : [missing];
  }
  const problems: ConfigProblem[] = [];
  if (REDIS_SENTINEL_NAME === undefined) problems.push({ variable: 'REDIS_SENTINEL_NAME', problem: 'must be set beside REDIS_SENTINELS' });
  if (REDIS_CLUSTER_NODES.length > 0) problems.push({ variable: 'REDIS_SENTINELS', problem: 'must not be set beside REDIS_CLUSTER_NODES' });
  return problems;
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

function withAddresses(values: Variables, metricsPortSet: boolean): Config {
  const { DB_USERNAME, DB_PASSWORD, DB_HOST, DB_PORT, DB_DATABASE } = values;
  const redisUrl = redisUrlOf(values);
  return {
    ...values,
    METRICS_PORT_OF_WORKER: metricsPortSet ? values.METRICS_PORT : 0,
    SERVICE_TOKEN_SECRET: values.SERVICE_TOKEN_SECRET ?? values.JWT_SECRET,
    DATABASE_URL:
      values.DATABASE_URL ??
      `postgresql://${encodeURIComponent(DB_USERNAME)}${password(DB_PASSWORD)}@${DB_HOST}:${DB_PORT}/${encodeURIComponent(DB_DATABASE)}`,
    REDIS_URL: redisUrl,
    REDIS_ADDRESS: { url: redisUrl, clusterNodes: values.REDIS_CLUSTER_NODES, sentinels: sentinelsOf(values) },
  };
}

const password = (text: string) => (text === '' ? '' : `:${encodeURIComponent(text)}`);

function redisUrlOf({ REDIS_URL, REDIS_PASSWORD, REDIS_HOST, REDIS_PORT, REDIS_DB }: Variables): string {
  return REDIS_URL ?? `redis://${password(REDIS_PASSWORD)}${REDIS_PASSWORD === '' ? '' : '@'}${REDIS_HOST}:${REDIS_PORT}/${REDIS_DB}`;
}

function sentinelsOf(values: Variables): Config['REDIS_ADDRESS']['sentinels'] {
  const { REDIS_SENTINELS, REDIS_SENTINEL_NAME, REDIS_SENTINEL_PASSWORD } = values;
  if (REDIS_SENTINEL_NAME === undefined) return undefined;
  return { nodes: REDIS_SENTINELS, name: REDIS_SENTINEL_NAME, password: REDIS_SENTINEL_PASSWORD };
}

/** A misspelt `SCHEDULER_*` name would be ignored in silence; it is warned about instead. */
function unknownNames(said: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(said)
    .filter((name) => name.startsWith('SCHEDULER_') && !Object.hasOwn(variables.shape, name))
    .map((name) => `${name} is not a known variable and has no effect`);
}
