import { createHash, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Queue } from 'bullmq';
import { accountsFrom } from '../../dashboards/accounts.ts';
import type { DashboardDeps } from '../../dashboards/deps.ts';
import { createLoginLimit } from '../../dashboards/login-limit.ts';
import { openDeps } from '../../dashboards/open-deps.ts';
import { createDashboardServer, type DashboardServer, type DashboardServerOptions } from '../../dashboards/server.ts';
import { createSessions, IDLE_S, LONGEST_S } from '../../dashboards/sessions.ts';
import { startDashboard } from '../../dashboards/start-dashboard.ts';
import { createLogger } from '../../shared/logger.ts';
import { createLife } from '../../shared/run/life.ts';
import { closeRedis, createRedis, type RedisClient } from '../../shared/run/redis.ts';
import { readAudit } from '../../shared/store/audit.ts';
import { createStore } from '../../shared/store/store.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { createTestPrefix, redisUrl } from '../support/redis.ts';

const SETTINGS = {
  DASHBOARD_USER: 'ops',
  DASHBOARD_PASSWORD: 'correct horse battery',
  DASHBOARD_VIEWER_USER: 'guest',
  DASHBOARD_VIEWER_PASSWORD: 'only looking around',
};
const OPERATOR = { username: 'ops', password: 'correct horse battery', role: 'operator' } as const;
const VIEWER = { username: 'guest', password: 'only looking around', role: 'viewer' } as const;
const OPEN_ROUTES = [
  'GET /login',
  'HEAD /login',
  'POST /login',
  'GET /health',
  'HEAD /health',
  'GET /assets/dashboard.css',
  'HEAD /assets/dashboard.css',
];
const ORIGIN = 'http://localhost:80';

const logger = createLogger('test', 'silent');
const address = { url: redisUrl(), clusterNodes: [] };
const { prefix, clean } = createTestPrefix();
const life = createLife(logger);
let database: TestDatabase;
let deps: DashboardDeps;
let redis: RedisClient;
let queue: Queue;
let server: DashboardServer;
const storeOptions = () => ({
  databaseUrl: database.url,
  poolSize: 3,
  acquireTimeoutMs: 3_000,
  statementTimeoutMs: 8_000,
  applicationName: 'test',
});

const open = (changes: Partial<DashboardServerOptions> = {}) =>
  createDashboardServer({
    ...deps,
    queues: [queue],
    accounts: accountsFrom(SETTINGS),
    secureCookies: false,
    trustProxy: true,
    ...changes,
  });

beforeAll(async () => {
  database = await createTestDatabase();
  life.onClose('database', database.drop);
  deps = await openDeps(life, { store: storeOptions(), redis: address, prefix, logger });
  redis = deps.redis;
  queue = new Queue('allocate', { connection: redis, prefix });
  server = await open();
});
afterAll(async () => {
  await server.app.close();
  await queue.close();
  await clean();
  await life.close();
});

let nextAddress = 1;
/** An address nobody has failed from yet. */
const freshAddress = () => `10.0.0.${nextAddress++}`;

function logIn(payload: object, headers: Record<string, string> = {}) {
  return server.app.inject({ method: 'POST', url: '/login', payload, headers: { 'x-forwarded-for': freshAddress(), ...headers } });
}

async function cookieOf(account: { username: string; password: string }): Promise<string> {
  const { headers } = await logIn({ username: account.username, password: account.password });
  return String(headers['set-cookie']).split(';', 1)[0] ?? '';
}

describe('the login', () => {
  test('nothing of the whole route table answers without it but the login, its style and the health', async () => {
    expect(server.routes.length).toBeGreaterThan(40);
    for (const { method, url } of server.routes) {
      const path = url.replace(':queueName', 'allocate').replace(/:\w+/g, '1').replace('*', 'css/x.css');
      const { statusCode, headers } = await server.app.inject({ method: method as 'GET', url: path });
      const answered = OPEN_ROUTES.includes(`${method} ${url}`);
      const refused = statusCode === 401 || (statusCode === 302 && String(headers.location).startsWith('/login'));
      expect({ route: `${method} ${url}`, refused }).toEqual({ route: `${method} ${url}`, refused: !answered });
    }
  });

  test('a page leads to the login and back, an API path is 401, an unknown path says nothing more', async () => {
    const page = await server.app.inject('/queues/queue/allocate?status=failed');
    expect(page).toMatchObject({ statusCode: 302, headers: { location: '/login?next=%2Fqueues%2Fqueue%2Fallocate%3Fstatus%3Dfailed' } });
    for (const url of ['/api/summary', '/queues/api/queues', '/queues/api/nothing']) {
      expect((await server.app.inject(url)).json()).toMatchObject({ success: false, statusCode: 401, code: 'UNAUTHENTICATED' });
    }
    expect(await server.app.inject('/nothing')).toMatchObject({ statusCode: 302 });
  });

  test('as JSON it sets a cookie scripts and other sites cannot use, and the cookie opens the pages', async () => {
    const answer = await logIn({ username: OPERATOR.username, password: OPERATOR.password });
    expect(answer.json()).toEqual({ success: true, data: { username: 'ops', role: 'operator' } });
    expect(answer.headers['set-cookie']).toMatch(/^scheduler_session=[\w-]{43}; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/);
    const cookie = String(answer.headers['set-cookie']).split(';', 1)[0] ?? '';
    expect((await server.app.inject({ url: '/', headers: { cookie } })).body).toContain('src="/page/main.js"');
    expect((await server.app.inject({ url: '/api/summary', headers: { cookie } })).json()).toMatchObject({
      data: { queues: [{ name: 'allocate', waiting: 0 }] },
    });
    expect((await server.app.inject({ url: '/page/main.js', headers: { cookie } })).statusCode).toBe(200);
    expect(await server.app.inject({ url: '/login?next=/queues', headers: { cookie } })).toMatchObject({
      statusCode: 302,
      headers: { location: '/queues' },
    });
    expect(await server.app.inject({ url: '/nothing', headers: { cookie } })).toMatchObject({ statusCode: 404 });
  });

  test('in production the cookie is bound to this host and TLS', async () => {
    const { app } = await open({ secureCookies: true });
    const answer = await app.inject({
      method: 'POST',
      url: '/login',
      payload: { username: OPERATOR.username, password: OPERATOR.password },
      headers: { 'x-forwarded-for': freshAddress() },
    });
    expect(answer.headers['set-cookie']).toMatch(/^__Host-scheduler_session=.*; Path=\/; HttpOnly; Secure; SameSite=Strict$/);
    await app.close();
  });

  const asForm = (fields: Record<string, string>) =>
    server.app.inject({
      method: 'POST',
      url: '/login',
      payload: new URLSearchParams(fields).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: ORIGIN, 'x-forwarded-for': freshAddress() },
    });

  test.each([
    ['/queues/queue/allocate?status=failed', '/queues/queue/allocate?status=failed'],
    ['', '/'],
    ['https://evil.example/', '/'],
    ['//evil.example/', '/'],
    ['/\\evil.example/', '/'],
    ['/.//evil.example/', '/'],
    ['/login', '/'],
  ])('a form that wants to go to %j goes to %j', async (next, location) => {
    const { username, password } = OPERATOR;
    expect(await asForm({ username, password, next })).toMatchObject({ statusCode: 303, headers: { location } });
  });

  test('a wrong name or password is refused in the same words, on the page and as JSON', async () => {
    const page = await asForm({ username: '"><script>', password: OPERATOR.password, next: '/queues"><script>' });
    expect(page.statusCode).toBe(401);
    expect(page.body).toContain('Name or password is wrong.');
    expect(page.body).not.toContain('"><script>');
    for (const typed of [
      { ...OPERATOR, username: 'admin' },
      { ...OPERATOR, password: 'wrong' },
      { username: OPERATOR.username, password: VIEWER.password },
    ]) {
      const { username, password } = typed;
      expect((await logIn({ username, password })).json()).toMatchObject({ statusCode: 401, message: ['Name or password is wrong.'] });
    }
  });

  test('a body that is none is refused', async () => {
    expect((await logIn({ username: 'ops' })).json()).toMatchObject({ statusCode: 400, code: 'VALIDATION_FAILED' });
    expect((await logIn({ username: 'ops', password: 7 })).statusCode).toBe(400);
    expect((await logIn({ username: 'ops', password: 'x'.repeat(10_000) })).json()).toMatchObject({
      statusCode: 413,
      code: 'PAYLOAD_TOO_LARGE',
    });
    expect((await asForm({ username: 'ops' })).statusCode).toBe(400);
    const strange = await server.app.inject({ method: 'POST', url: '/login', payload: '<a/>', headers: { 'content-type': 'text/xml' } });
    expect(strange.json()).toMatchObject({ statusCode: 415, code: 'UNSUPPORTED_MEDIA_TYPE' });
  });

  test('an id planted before the login is not the session after it, and the former session ends', async () => {
    const first = await cookieOf(OPERATOR);
    const answer = await logIn({ username: OPERATOR.username, password: OPERATOR.password }, { cookie: first });
    expect(answer.headers['set-cookie']).not.toContain(first);
    expect((await server.app.inject({ url: '/api/summary', headers: { cookie: first } })).statusCode).toBe(401);
    const planted = 'scheduler_session=planted';
    expect(
      (await logIn({ username: OPERATOR.username, password: OPERATOR.password }, { cookie: planted })).headers['set-cookie'],
    ).not.toContain('planted');
  });

  test('logging out ends the session on the server, on the page and as JSON', async () => {
    const [cookie, other] = [await cookieOf(OPERATOR), await cookieOf(VIEWER)];
    expect(await server.app.inject({ method: 'POST', url: '/logout', headers: { cookie, origin: ORIGIN } })).toMatchObject({
      statusCode: 200,
    });
    expect((await server.app.inject({ url: '/api/summary', headers: { cookie } })).statusCode).toBe(401);
    const form = { cookie: other, 'content-type': 'application/x-www-form-urlencoded' };
    expect(await server.app.inject({ method: 'POST', url: '/logout', headers: form })).toMatchObject({
      statusCode: 303,
      headers: { location: '/login' },
    });
    expect((await server.app.inject({ url: '/api/summary', headers: { cookie: other } })).statusCode).toBe(401);
  });

  describe('in the audit', () => {
    const rowsOf = (from: string) =>
      deps.store.prisma.auditEntry.findMany({
        where: { address: from },
        select: { actor: true, role: true, action: true, status: true },
        orderBy: { id: 'asc' },
      });

    test.each([OPERATOR, VIEWER])('$role: has a row for each login and logout', async ({ username, password, role }) => {
      const from = { 'x-forwarded-for': freshAddress() };
      const { headers } = await logIn({ username, password }, from);
      const cookie = String(headers['set-cookie']).split(';', 1)[0] ?? '';
      const form = { 'content-type': 'application/x-www-form-urlencoded' };
      await server.app.inject({ method: 'POST', url: '/logout', headers: { ...from, ...form, cookie } });
      await eventually(async () =>
        expect(await rowsOf(from['x-forwarded-for'])).toEqual([
          { actor: username, role, action: 'login', status: 200 },
          { actor: username, role, action: 'logout', status: 303 },
        ]),
      );
      expect((await readAudit(deps.store, 100)).filter(({ action }) => action.startsWith('log'))).toEqual([]);
    });

    test('has none for a failed one, whose name may be a password', async () => {
      const from = { 'x-forwarded-for': freshAddress() };
      expect((await logIn({ username: OPERATOR.password, password: '' }, from)).statusCode).toBe(401);
      expect((await server.app.inject({ method: 'POST', url: '/logout', headers: from })).statusCode).toBe(401);
      expect(await rowsOf(from['x-forwarded-for'])).toEqual([]);
    });

    test('that cannot be written keeps nobody out, nor in', async () => {
      const gone = createStore({ ...storeOptions(), databaseUrl: 'postgresql://nobody@127.0.0.1:1/none' });
      const { app } = await open({ store: gone });
      const { username, password } = OPERATOR;
      const login = await app.inject({
        method: 'POST',
        url: '/login',
        payload: { username, password },
        headers: { 'x-forwarded-for': freshAddress() },
      });
      expect(login.statusCode).toBe(200);
      const cookie = String(login.headers['set-cookie']).split(';', 1)[0] ?? '';
      expect((await app.inject({ method: 'POST', url: '/logout', headers: { cookie } })).statusCode).toBe(200);
      expect((await app.inject({ url: '/api/summary', headers: { cookie } })).statusCode).toBe(401);
      await app.close();
      await gone.close();
    });
  });

  test('a session ends after its longest time even if it is used', async () => {
    const sessions = createSessions(redis, prefix, [OPERATOR]);
    const id = await sessions.begin(OPERATOR);
    const [key] = (await redis.keys(`${prefix}:dashboard:session:*`)).slice(-1);
    expect(key).not.toContain(id);
    expect(await sessions.read(id)).toMatchObject({ username: 'ops' });
    for (const each of await redis.keys(`${prefix}:dashboard:session:*`)) {
      const stored = JSON.parse((await redis.get(each)) ?? '{}');
      expect(stored.until).toBeLessThanOrEqual(Date.now() + LONGEST_S * 1_000);
      await redis.set(each, JSON.stringify({ ...stored, until: Date.now() - 1 }));
    }
    expect(await sessions.read(id)).toBeUndefined();
  });
});

describe('a session', () => {
  /** The key of the only session under a prefix of its own, and what is left of it, s. */
  const begun = async () => {
    const own = `${prefix}:own-${freshAddress()}`;
    const sessions = createSessions(redis, own, [OPERATOR, VIEWER]);
    const id = await sessions.begin(OPERATOR);
    const [key = ''] = await redis.keys(`${own}:dashboard:session:*`);
    return { own, sessions, id, key, left: () => redis.ttl(key) };
  };

  test('ends after an hour in which nobody asks, and looking whether it still is one is not asking', async () => {
    const { sessions, id, key, left } = await begun();
    expect(IDLE_S).toBe(3_600);
    expect(await left()).toBeGreaterThan(0);
    expect(await left()).toBeLessThanOrEqual(IDLE_S);
    await redis.expire(key, 100);
    expect(await sessions.peek(id)).toMatchObject({ username: 'ops' });
    expect(await left()).toBeLessThanOrEqual(100);
    await sessions.read(id);
    expect(await left()).toBeGreaterThan(100);
  });

  test('is not renewed by what its page asks by itself', async () => {
    const id = await createSessions(redis, prefix, [OPERATOR]).begin(OPERATOR);
    const key = `${prefix}:dashboard:session:${createHash('sha256').update(id).digest('base64url')}`;
    const ask = (headers: object) => server.app.inject({ url: '/api/session', headers: { cookie: `scheduler_session=${id}`, ...headers } });
    await redis.expire(key, 100);
    expect((await ask({ 'x-unasked': '1' })).statusCode).toBe(200);
    expect(await redis.ttl(key)).toBeLessThanOrEqual(100);
    expect((await ask({})).statusCode).toBe(200);
    expect(await redis.ttl(key)).toBeGreaterThan(100);
  });

  test.each([
    ['has another password', [{ ...OPERATOR, password: 'another password' }]],
    ['may do less', [{ ...OPERATOR, role: 'viewer' as const }]],
    ['is there no more', [VIEWER]],
  ])('ends when its account %s', async (_, accounts) => {
    const { own, id } = await begun();
    expect(await createSessions(redis, own, [OPERATOR]).read(id)).toMatchObject({ username: 'ops' });
    expect(await createSessions(redis, own, accounts).read(id)).toBeUndefined();
    expect(await createSessions(redis, own, accounts).peek(id)).toBeUndefined();
  });

  test('of a former version, which says nothing of its account, has ended', async () => {
    const { sessions, id, key } = await begun();
    const { account: _, ...former } = JSON.parse((await redis.get(key)) ?? '');
    await redis.set(key, JSON.stringify(former));
    expect(await sessions.read(id)).toBeUndefined();
  });
});

describe('guessing', () => {
  test('is stopped after ten failures of an address, whichever process is asked, even with the right password, and sent at once', async () => {
    const other = await open();
    const headers = { 'x-forwarded-for': freshAddress() };
    const attempt = (app: DashboardServer['app'], password: string) =>
      app.inject({ method: 'POST', url: '/login', payload: { username: OPERATOR.username, password }, headers });
    const guesses = await Promise.all(
      Array.from({ length: 14 }, (_, index) => attempt((index % 2 ? server : other).app, `guess ${index}`)),
    );
    expect(guesses.filter(({ statusCode }) => statusCode === 401)).toHaveLength(10);
    const late = await attempt(server.app, OPERATOR.password);
    expect(late.json()).toMatchObject({ statusCode: 429, code: 'RATE_LIMITED' });
    expect(Number(late.headers['retry-after'])).toBeGreaterThan(0);
    const form = { ...headers, 'content-type': 'application/x-www-form-urlencoded' };
    const page = await other.app.inject({ method: 'POST', url: '/login', payload: 'username=a&password=b', headers: form });
    expect(page).toMatchObject({ statusCode: 429 });
    expect(page.headers['retry-after']).toBeDefined();
    expect((await logIn({ username: OPERATOR.username, password: OPERATOR.password })).statusCode).toBe(200);
    await other.app.close();
  });

  test('is stopped by the address of the connection where no proxy is trusted, whatever addresses are claimed', async () => {
    const { app } = await open({ trustProxy: false });
    const attempt = () =>
      app.inject({
        method: 'POST',
        url: '/login',
        remoteAddress: '192.0.2.1',
        payload: { username: OPERATOR.username, password: 'guess' },
        headers: { 'x-forwarded-for': freshAddress() },
      });
    const statuses: number[] = [];
    for (let guess = 0; guess < 11; guess += 1) statuses.push((await attempt()).statusCode);
    expect(statuses).toEqual([...Array.from({ length: 10 }, () => 401), 429]);
    await app.close();
  });

  test('leaves no count without an end when the window ends while somebody logs in', async () => {
    const limit = createLoginLimit(redis, prefix);
    const from = freshAddress();
    const key = `${prefix}:dashboard:login:${from}`;
    await limit.take(from);
    await redis.del(key);
    await limit.giveBack(from);
    expect(await redis.ttl(key)).toBeGreaterThan(0);
  });

  test('is not what a busy operator does: logins that succeed are not counted', async () => {
    const headers = { 'x-forwarded-for': freshAddress() };
    for (let round = 0; round < 15; round += 1)
      expect((await logIn({ username: OPERATOR.username, password: OPERATOR.password }, headers)).statusCode).toBe(200);
  });
});

describe('changes', () => {
  const pause = (headers: Record<string, string>) =>
    server.app.inject({ method: 'PUT', url: '/queues/api/queues/allocate/pause', headers });

  test('are taken from our own pages only', async () => {
    const cookie = await cookieOf(OPERATOR);
    for (const headers of [
      { origin: 'http://evil.example' },
      { origin: 'null' },
      { origin: 'http://localhost:8080' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: ORIGIN, 'sec-fetch-site': 'cross-site' },
      { origin: ORIGIN, 'sec-fetch-site': 'same-site' },
    ]) {
      expect((await pause({ cookie, ...(headers as Record<string, string>) })).json()).toMatchObject({
        statusCode: 403,
        code: 'FORBIDDEN',
      });
      expect(await queue.isPaused()).toBe(false);
    }
    expect((await logIn({ username: OPERATOR.username, password: OPERATOR.password }, { origin: 'http://evil.example' })).statusCode).toBe(
      403,
    );
    expect((await pause({ cookie, origin: ORIGIN })).statusCode).toBe(200);
    expect(await queue.isPaused()).toBe(true);
    expect(
      (
        await server.app.inject({
          method: 'PUT',
          url: '/queues/api/queues/allocate/resume',
          headers: { cookie, 'sec-fetch-site': 'same-origin' },
        })
      ).statusCode,
    ).toBe(200);
  });

  test('come over TLS in production, unless the browser is on this very machine', async () => {
    const { app } = await open({ secureCookies: true });
    const { username, password } = OPERATOR;
    const from = async (origin: string) =>
      (
        await app.inject({
          method: 'POST',
          url: '/login',
          payload: { username, password },
          headers: { host: new URL(origin).host, origin, 'x-forwarded-for': freshAddress() },
        })
      ).statusCode;
    expect(await from('https://dashboard.example')).toBe(200);
    expect(await from('http://dashboard.example')).toBe(403);
    expect(await from('http://127.0.0.1:30003')).toBe(200);
    await app.close();
  });

  test('has no viewer where none has a password', () => {
    expect(accountsFrom(SETTINGS)).toEqual([OPERATOR, VIEWER]);
    expect(accountsFrom({ ...SETTINGS, DASHBOARD_VIEWER_PASSWORD: undefined })).toEqual([OPERATOR]);
  });

  test('are not taken from a viewer, who may look and log out', async () => {
    const cookie = await cookieOf(VIEWER);
    expect((await pause({ cookie })).json()).toMatchObject({ statusCode: 403, code: 'FORBIDDEN' });
    expect((await server.app.inject({ url: '/queues/api/queues', headers: { cookie } })).statusCode).toBe(200);
    expect((await server.app.inject({ method: 'POST', url: '/logout', headers: { cookie } })).statusCode).toBe(200);
  });
});

describe('what is shown of a job', () => {
  test('holds no secret, in its data, its failure, its logs or the template of a scheduler, and a mask is not written back', async () => {
    const secrets = {
      token: 'secret-1',
      deep: [{ adbHost: 'secret-2' }],
      jwt: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzZWNyZXQifQ.secret-3',
      url: 'amqp://me:secret-4@host/',
    };
    const job = await queue.add('look', { ...secrets, userId: 'ann', note: null, password: '' });
    await job.log('sent Authorization eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzZWNyZXQifQ.secret-5');
    await queue.upsertJobScheduler('tick', { every: 3_600_000 }, { name: 'tick', data: { apiKey: 'secret-6' } });
    const cookie = await cookieOf(OPERATOR);
    const urls = [
      `/queues/api/queues/allocate/${job.id}`,
      `/queues/api/queues/allocate/${job.id}/logs`,
      '/queues/api/job-schedulers',
      '/queues/api/queues?activeQueue=allocate',
    ];
    const bodies = await Promise.all(urls.map(async (url) => (await server.app.inject({ url, headers: { cookie } })).body));
    expect(bodies.join('\n')).not.toContain('secret-');
    expect(bodies[0]).toContain('"userId":"ann"');
    expect(bodies[0]).toContain('amqp://me:[redacted]@host/');

    const writeBack = { jobData: JSON.parse(bodies[0] ?? '').job.data };
    const refused = await server.app.inject({
      method: 'PATCH',
      url: `/queues/api/queues/allocate/${job.id}/update-data`,
      headers: { cookie },
      payload: writeBack,
    });
    expect(refused.statusCode).toBe(400);
    expect((await queue.getJob(job.id ?? ''))?.data).toMatchObject(secrets);
    const accepted = await server.app.inject({
      method: 'PATCH',
      url: `/queues/api/queues/allocate/${job.id}/update-data`,
      headers: { cookie },
      payload: { jobData: { userId: 'bob' } },
    });
    expect(accepted.statusCode).toBe(200);
  });

  test('what is nested too deep to be looked through is not shown', async () => {
    let deep: object = { token: 'x' };
    for (let depth = 0; depth < 40; depth += 1) deep = { deep };
    const job = await queue.add('deep', deep);
    const { body } = await server.app.inject({ url: `/queues/api/queues/allocate/${job.id}`, headers: { cookie: await cookieOf(VIEWER) } });
    expect(body).toContain('[redacted]');
  });

  test('a broken body in front of the board is the sender’s fault and says nothing of the inside', async () => {
    const headers = { cookie: await cookieOf(OPERATOR), 'content-type': 'application/json' };
    const { statusCode, body } = await server.app.inject({
      method: 'POST',
      url: '/queues/api/queues/allocate/add',
      headers,
      payload: '{"',
    });
    expect(statusCode).toBe(400);
    expect(body).not.toContain('at ');
  });
});

describe('the process', () => {
  test('listens, serves Bull Board’s page with a policy that lets only its own scripts run, and closes', async () => {
    const dashboard = await startDashboard({
      host: '127.0.0.1',
      port: 0,
      store: storeOptions(),
      redis: address,
      prefix,
      accounts: [OPERATOR],
      secureCookies: false,
      trustProxy: true,
      logger,
    });
    const login = await fetch(`${dashboard.url}/login`, {
      method: 'POST',
      body: JSON.stringify({ username: OPERATOR.username, password: OPERATOR.password }),
      headers: { 'content-type': 'application/json', 'x-forwarded-for': freshAddress() },
    });
    const page = await fetch(`${dashboard.url}/queues`, { headers: { cookie: login.headers.get('set-cookie')?.split(';', 1)[0] ?? '' } });
    expect(await page.text()).toContain('<div id="root">');
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self';");
    expect(page.headers.get('cache-control')).toBe('no-store');
    expect(await (await fetch(`${dashboard.url}/health`)).json()).toEqual({ ok: true });
    await dashboard.close();
    await expect(fetch(`${dashboard.url}/health`)).rejects.toThrow();
  });

  test('lets go a stream whose reader reads nothing, before what it owes fills the memory', async () => {
    const stream = await open();
    const url = await stream.app.listen({ host: '127.0.0.1', port: 0 });
    const connections = () => promisify(stream.app.server.getConnections.bind(stream.app.server))();
    const cookie = await cookieOf(VIEWER);
    // More than the system keeps for a connection: the rest waits in the process.
    const details = { note: 'x '.repeat(1_000_000) };
    const words = { actor: 'ops', role: 'operator', action: 'release', target: '', address: freshAddress(), details };
    for (let row = 0; row < 15; row += 1) await deps.store.prisma.auditEntry.create({ data: { ...words, requestId: randomUUID() } });
    const gone = new AbortController();
    const answer = await fetch(`${url}/api/live`, { headers: { cookie }, signal: gone.signal });
    expect(answer.status).toBe(200);
    expect(await connections()).toBe(1);
    try {
      await eventually(async () => expect(await connections()).toBe(0), 30_000);
    } finally {
      gone.abort();
      await stream.app.close();
    }
  });

  test('does not start on an address that is taken, and leaves nothing open', async () => {
    const options = {
      host: '127.0.0.1',
      store: storeOptions(),
      redis: address,
      prefix,
      accounts: [OPERATOR],
      secureCookies: false,
      trustProxy: false,
      logger,
    };
    const first = await startDashboard({ ...options, port: 0 });
    await expect(startDashboard({ ...options, port: Number(new URL(first.url).port) })).rejects.toThrow('EADDRINUSE');
    await first.close();
  });

  test('without Redis it answers 503 and says when to come again', async () => {
    const gone = createRedis('producer', { url: 'redis://127.0.0.1:1', clusterNodes: [] }, logger);
    const { app } = await open({ redis: gone });
    const headers = { cookie: 'scheduler_session=any' };
    for (const url of ['/', '/api/session', '/queues/api/queues']) {
      const answer = await app.inject({ url, headers });
      expect(answer).toMatchObject({ statusCode: 503 });
      expect(answer.headers['retry-after']).toBe('2');
    }
    await app.close();
    closeRedis(gone);
  });
});
