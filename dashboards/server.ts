import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import cookie from '@fastify/cookie';
import formbody from '@fastify/formbody';
import helmet from '@fastify/helmet';
import { type FastifyBaseLogger, type FastifyInstance, fastify, LogController } from 'fastify';
import type { Account } from './accounts.ts';
import { registerActions } from './actions/action-routes.ts';
import { answerError } from './answer-error.ts';
import { keepAudit } from './audit-trail.ts';
import { BOARD_PATH, createBoard } from './board.ts';
import { sayContentSecurity } from './content-security.ts';
import type { DashboardDeps } from './deps.ts';
import { createGuard } from './guard.ts';
import { registerLive } from './live/live-routes.ts';
import { registerLogin } from './login.ts';
import { createLoginLimit } from './login-limit.ts';
import { registerPageFiles } from './page-files.ts';
import { operationsPage } from './pages/operations-page.ts';
import { createSessions } from './sessions.ts';
import { assertStorable } from './storable.ts';
import { registerStories } from './story-routes.ts';
import { summarise } from './summary.ts';

export interface DashboardServerOptions extends DashboardDeps {
  readonly accounts: readonly Account[];
  /** Give the cookie only over TLS. */
  readonly secureCookies: boolean;
  readonly trustProxy: boolean;
}

/** One row of the route table. */
export interface DashboardRoute {
  readonly method: string;
  readonly url: string;
}

/** The server, not yet listening, and everything it answers to. */
export interface DashboardServer {
  readonly app: FastifyInstance;
  readonly routes: readonly DashboardRoute[];
}

/** Puts the dashboard together: the guard first, so that no route can be added in front of it. */
export async function createDashboardServer(options: DashboardServerOptions): Promise<DashboardServer> {
  const { redis, prefix, secureCookies: secure, trustProxy, logger } = options;
  const base: FastifyBaseLogger = logger;
  const app = fastify({
    loggerInstance: base,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    trustProxy,
  });
  const routes: DashboardRoute[] = [];
  app.addHook('onRoute', ({ method, url }) => void routes.push(...[method].flat().map((one) => ({ method: one, url }))));
  app.setErrorHandler(answerError);
  await app.register(helmet, {
    contentSecurityPolicy: false,
    strictTransportSecurity: secure,
    frameguard: { action: 'deny' },
    referrerPolicy: { policy: 'same-origin' },
  });
  sayContentSecurity(app);
  await app.register(cookie);
  await app.register(formbody);
  const sessions = createSessions(redis, prefix, options.accounts);
  app.decorateRequest('session', undefined);
  app.addHook('onRequest', createGuard(sessions, secure));
  app.addHook('onSend', async (_request, reply) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, url, session } = request;
    if (method !== 'GET' && method !== 'HEAD') logger.info({ user: session?.username, method, url, status: reply.statusCode }, 'change');
  });
  app.addHook('preValidation', assertStorable);
  const note = keepAudit(app, options.store, logger);
  registerLogin(app, { accounts: options.accounts, sessions, limit: createLoginLimit(redis, prefix), note, secure });
  registerPages(app, options);
  registerPageFiles(app);
  registerLive(app, options, { sessions, secure });
  registerStories(app, options);
  registerActions(app, options);
  await app.register(createBoard(options.queues, logger), { prefix: BOARD_PATH });
  await app.ready();
  return { app, routes };
}

function registerPages(app: FastifyInstance, { queues }: DashboardDeps): void {
  const style = readAsset('dashboard.css');
  const page = operationsPage();
  app.get('/health', { config: { open: true } }, () => ({ ok: true }));
  app.get('/assets/dashboard.css', { config: { open: true } }, (_request, reply) =>
    reply.type('text/css').header('cache-control', 'max-age=300').send(style),
  );
  app.get('/', (_request, reply) => reply.type('text/html').send(page));
  app.get('/api/session', (request) => {
    const { username = '', role = 'viewer', csrf = '' } = request.session ?? {};
    return { success: true, data: { username, role, csrf } };
  });
  app.get('/api/summary', async () => ({ success: true, data: { queues: await summarise(queues) } }));
}

function readAsset(name: string): string {
  return readFileSync(new URL(`assets/${name}`, import.meta.url), 'utf8');
}
