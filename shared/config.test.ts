import { describe, expect, test } from '@jest/globals';
import { type Config, describeVariables, loadConfig } from './config.ts';

const SECRETS = { JWT_SECRET: 'j'.repeat(32), DASHBOARD_PASSWORD: 'd'.repeat(12) };

function accepted(environment: Record<string, string | undefined> = {}): Config {
  const result = loadConfig({ ...SECRETS, ...environment });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.config;
}

function problems(environment: Record<string, string | undefined>): Record<string, string> {
  const result = loadConfig({ ...SECRETS, ...environment });
  return result.ok ? {} : Object.fromEntries(result.problems.map(({ variable, problem }) => [variable, problem]));
}

describe('the configuration', () => {
  test('needs secrets and nothing else', () => {
    expect(accepted()).toMatchObject({
      NODE_ENV: 'development',
      PORT: 30002,
      QUEUE_PREFIX: '{scheduler}',
      EXPIRY_TICK: 1,
      RABBITMQ_URL: '',
    });
    const bare = loadConfig({});
    expect(bare).toMatchObject({ ok: false });
    expect(bare.ok || bare.problems.map(({ variable }) => variable)).toEqual(['JWT_SECRET', 'DASHBOARD_PASSWORD']);
    expect(bare.ok || bare.problems[0]?.problem).toBe('is not set and has no default');
  });

  test('has the values other teams rely on where nothing is said', () => {
    expect(accepted()).toMatchObject({
      DASHBOARD_PORT: 30003,
      METRICS_PORT: 30004,
      METRICS_HOST: '127.0.0.1',
      TRUST_PROXY: false,
      DB_DATABASE: 'cloudphone_device',
      USER_SERVICE_URL: 'http://localhost:30001',
      BILLING_SERVICE_URL: 'http://localhost:30005',
      NOTIFICATION_SERVICE_URL: 'http://localhost:30006',
      QUOTA_ALLOW_ON_ERROR: false,
      QUOTA_CACHE_TTL: 60,
      BILLING_ALLOW_ON_ERROR: true,
      BILLING_RESERVE_FULL_TERM: false,
      BALANCE_CACHE_TTL: 30,
      BILLING_MAX_ATTEMPTS: 10,
      DELIVERY_BACKOFF_MAX_MS: 900_000,
      RELOCATE_ON_FAILURE: true,
      PAYMENT_FAILURE_THRESHOLD: 3,
      AVAILABLE_CACHE_TTL: 10,
      TURNAROUND_SECONDS: 0,
      CLEANING_TIMEOUT: 0,
      NO_SHOW_MINUTES: 10,
      SHUTDOWN_TIMEOUT: 25,
      RATE_LIMIT_READ: 100,
      RATE_LIMIT_WRITE: 30,
      RATE_LIMIT_BATCH: 10,
      RATE_LIMIT_SERVICE_FACTOR: 100,
      RETENTION_DAYS: 30,
    });
  });

  test('lists every problem at once, each with its variable', () => {
    const found = problems({
      PORT: 'many',
      EXPIRY_TICK: '0',
      QUOTA_ALLOW_ON_ERROR: 'perhaps',
      DATABASE_URL: 'mysql://x',
      JWT_SECRET: 'short',
    });
    expect(Object.keys(found).toSorted()).toEqual(['DATABASE_URL', 'EXPIRY_TICK', 'JWT_SECRET', 'PORT', 'QUOTA_ALLOW_ON_ERROR']);
    expect(found).toMatchObject({
      PORT: 'must be a number',
      DATABASE_URL: 'must be a URL starting with postgresql:// or postgres://',
      JWT_SECRET: 'must have at least 32 characters',
    });
  });

  test('counts an empty text as not set', () => {
    expect(accepted({ PORT: '', DATABASE_URL: '', SERVICE_TOKEN_SECRET: '' })).toMatchObject({
      PORT: 30002,
      DATABASE_URL: 'postgresql://postgres@localhost:5432/cloudphone_device',
      SERVICE_TOKEN_SECRET: SECRETS.JWT_SECRET,
    });
  });

  test.each([
    ...['true', '1', 'yes', 'ON'].map((text) => [text, true] as const),
    ...['false', '0', 'no', ' off '].map((text) => [text, false] as const),
  ])('takes the flag %j as %j', (text, value) => {
    expect(accepted({ QUOTA_ALLOW_ON_ERROR: text }).QUOTA_ALLOW_ON_ERROR).toBe(value);
  });

  test('takes lists apart at commas', () => {
    const { SERVICE_ALLOW_LIST, REDIS_CLUSTER_NODES } = accepted({
      SERVICE_ALLOW_LIST: 'billing-service, user-service,',
      REDIS_CLUSTER_NODES: 'a:1,b:2',
    });
    expect(SERVICE_ALLOW_LIST).toEqual(['billing-service', 'user-service']);
    expect(REDIS_CLUSTER_NODES).toEqual(['a:1', 'b:2']);
  });

  test('puts addresses together from their parts, with special characters kept apart', () => {
    const config = accepted({
      DB_HOST: 'db',
      DB_PASSWORD: 'p@ss/word',
      DB_DATABASE: 'x',
      REDIS_HOST: 'cache',
      REDIS_PASSWORD: 'a:b',
      REDIS_DB: '3',
    });
    expect(new URL(config.DATABASE_URL)).toMatchObject({
      hostname: 'db',
      port: '5432',
      username: 'postgres',
      password: 'p%40ss%2Fword',
      pathname: '/x',
    });
    expect(config.REDIS_URL).toBe('redis://:a%3Ab@cache:6379/3');
    expect(accepted({ REDIS_HOST: 'cache' }).REDIS_URL).toBe('redis://cache:6379/0');
  });

  test('knows where Redis is, whichever way that is said', () => {
    expect(accepted({ REDIS_URL: 'redis://a:1/2' }).REDIS_ADDRESS).toEqual({
      url: 'redis://a:1/2',
      clusterNodes: [],
      sentinels: undefined,
    });
    expect(accepted({ REDIS_CLUSTER_NODES: 'a:1' }).REDIS_ADDRESS).toMatchObject({ clusterNodes: ['a:1'], sentinels: undefined });
    const watched = { REDIS_SENTINELS: 's1:26379, [::1]:26379', REDIS_SENTINEL_NAME: 'mymaster' };
    const sentinels = { nodes: ['s1:26379', '[::1]:26379'], name: 'mymaster', password: '' };
    expect(accepted(watched).REDIS_ADDRESS).toMatchObject({ clusterNodes: [], sentinels });
    expect(accepted({ ...watched, REDIS_SENTINEL_PASSWORD: 'p' }).REDIS_ADDRESS.sentinels).toEqual({ ...sentinels, password: 'p' });
  });

  test('names what is missing or too much beside Sentinels', () => {
    const list = 'must be set beside REDIS_SENTINEL_NAME and REDIS_SENTINEL_PASSWORD';
    expect(problems({ REDIS_SENTINELS: 's:1' })).toEqual({ REDIS_SENTINEL_NAME: 'must be set beside REDIS_SENTINELS' });
    expect(problems({ REDIS_SENTINEL_NAME: 'mymaster' })).toEqual({ REDIS_SENTINELS: list });
    expect(problems({ REDIS_SENTINEL_PASSWORD: 'p' })).toEqual({ REDIS_SENTINELS: list });
    expect(problems({ REDIS_SENTINELS: 's:1', REDIS_SENTINEL_NAME: 'm', REDIS_CLUSTER_NODES: 'a:1' })).toEqual({
      REDIS_SENTINELS: 'must not be set beside REDIS_CLUSTER_NODES',
    });
    expect(problems({ REDIS_SENTINELS: 's', REDIS_SENTINEL_NAME: 'm' })).toEqual({ REDIS_SENTINELS: 'must be host:port, comma-separated' });
    expect(problems({ REDIS_CLUSTER_NODES: 'a:1,b' })).toEqual({ REDIS_CLUSTER_NODES: 'must be host:port, comma-separated' });
  });

  test('takes whole addresses as they are', () => {
    const addresses = {
      DATABASE_URL: 'postgres://a@b/c',
      REDIS_URL: 'rediss://x:1/2',
      RABBITMQ_URL: 'amqps://y',
      SERVICE_TOKEN_SECRET: 's'.repeat(32),
    };
    expect(accepted(addresses)).toMatchObject(addresses);
  });

  test('checks what belongs together', () => {
    expect(problems({ DELIVERY_BACKOFF_BASE_MS: '2000', DELIVERY_BACKOFF_MAX_MS: '1000' })).toEqual({
      DELIVERY_BACKOFF_BASE_MS: 'must not exceed DELIVERY_BACKOFF_MAX_MS',
    });
    expect(problems({ CLEANUP_TZ: 'Mars/Olympus' })).toEqual({ CLEANUP_TZ: 'must be an IANA time zone such as Europe/Berlin' });
    expect(problems({ DB_POOL_SIZE: '2', GROUP_COMMIT_PARALLEL: '3' })).toEqual({ GROUP_COMMIT_PARALLEL: 'must not exceed DB_POOL_SIZE' });
    const viewer = { DASHBOARD_USER: 'ops', DASHBOARD_VIEWER_USER: 'ops' };
    expect(problems({ ...viewer, DASHBOARD_VIEWER_PASSWORD: 'only looking' })).toEqual({
      DASHBOARD_VIEWER_USER: 'must not be DASHBOARD_USER',
    });
    expect(problems(viewer)).toEqual({});
    expect(problems({ CLEANUP_TZ: 'Europe/Berlin' })).toEqual({});
  });

  test('wants a hash tag at the front of the prefix, as a cluster of Redis needs one', () => {
    expect(problems({ QUEUE_PREFIX: 'scheduler' })).toEqual({ QUEUE_PREFIX: 'must start with a hash tag such as {scheduler}' });
  });

  test('warns of a name that looks like ours and is not', () => {
    const result = loadConfig({ ...SECRETS, SCHEDULER_PORT: '1', HOME: '/root' });
    expect(result).toMatchObject({ ok: true, warnings: ['SCHEDULER_PORT is not a known variable and has no effect'] });
  });

  test('gives the port of metrics to the workers only when it was said for them', () => {
    expect(accepted().METRICS_PORT_OF_WORKER).toBe(0);
    expect(accepted({ METRICS_PORT: '1234' })).toMatchObject({ METRICS_PORT: 1234, METRICS_PORT_OF_WORKER: 1234 });
  });

  test('describes every variable in a sentence', () => {
    const rows = describeVariables();
    expect(rows.filter(({ description }) => description === '')).toEqual([]);
    expect(rows).toContainEqual({ name: 'PORT', description: 'Port of the HTTP API', fallback: '30002' });
    expect(rows.find(({ name }) => name === 'JWT_SECRET')).toMatchObject({ fallback: undefined });
  });
});
