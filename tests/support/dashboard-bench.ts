import { startDashboard } from '../../dashboards/start-dashboard.ts';
import { createLogger } from '../../shared/logger.ts';
import type { ApiBench } from './api-bench.ts';
import { redisUrl } from './redis.ts';

export const OPERATOR = { username: 'ops', password: 'correct horse battery', role: 'operator' } as const;
export const VIEWER = { username: 'guest', password: 'only looking around', role: 'viewer' } as const;

/** Somebody who is logged in. */
export interface Visitor {
  readonly cookie: string;
  readonly csrf: string;
  get(path: string): Promise<Response>;
  /** Does something as the page does; `changes` go over its headers, an empty one is left out. */
  act(action: string, words: unknown, changes?: Readonly<Record<string, string>>): Promise<Response>;
}

/** A dashboard that listens, over the database and the corner of Redis of a bench. */
export interface DashboardBench {
  readonly url: string;
  logIn(account: { readonly username: string; readonly password: string }): Promise<Visitor>;
  close(): Promise<void>;
}

/** @param port  a certain one, else one that is free */
export async function openDashboard({ databaseUrl, prefix }: Pick<ApiBench, 'databaseUrl' | 'prefix'>, port = 0): Promise<DashboardBench> {
  const { url, close } = await startDashboard({
    host: '127.0.0.1',
    port,
    store: { databaseUrl, poolSize: 4, acquireTimeoutMs: 5_000, statementTimeoutMs: 8_000, applicationName: 'dashboards' },
    redis: { url: redisUrl(), clusterNodes: [] },
    prefix,
    accounts: [OPERATOR, VIEWER],
    secureCookies: false,
    trustProxy: false,
    logger: createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent'),
  });
  return { url, logIn: ({ username, password }) => logIn(url, username, password), close };
}

async function logIn(url: string, username: string, password: string): Promise<Visitor> {
  const answer = await fetch(`${url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password }),
  });
  const cookie = String(answer.headers.get('set-cookie')).split(';', 1)[0] ?? '';
  const get = (path: string) => fetch(`${url}${path}`, { headers: { cookie } });
  const session = (await (await get('/api/session')).json()) as { data: { csrf: string } };
  const { csrf } = session.data;
  return {
    cookie,
    csrf,
    get,
    act: (action, words, changes = {}) => {
      const headers = { cookie, 'content-type': 'application/json', 'x-csrf-token': csrf, ...changes };
      const said = Object.entries(headers).filter(([, value]) => value !== '');
      return fetch(`${url}/api/actions/${action}`, { method: 'POST', headers: said, body: JSON.stringify(words) });
    },
  };
}
