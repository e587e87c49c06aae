import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import cookie from '@fastify/cookie';
import formbody from '@fastify/formbody';
import helmet from '@fastify/helmet';
import type { Queue } from 'bullmq';
import { type FastifyBaseLogger, type FastifyInstance, fastify, LogController } from 'fastify';
import type { Logger } from '../shared/logger.ts';
import type { RedisClient } from '../shared/run/redis.ts';
import type { Account } from './accounts.ts';
import { answerError } from './answer-error.ts';
import { BOARD_PATH, createBoard } from './board.ts';
import { createGuard } from './guard.ts';
import { registerLogin } from './login.ts';
import { createLoginLimit } from './login-limit.ts';
import { homePage } from './pages/home-page.ts';
import { createSessions } from './sessions.ts';
import { summarise } from './summary.ts';

export interface DashboardServerOptions {
  readonly queues: readonly Queue[];
  /** A connection that fails fast; keeps sessions and counts failed logins. */
  readonly redis: RedisClient;
  readonly prefix: string;
  readonly accounts: readonly Account[];
  /** Give the cookie only over TLS. */
  readonly secureCookies: boolean;
  readonly trustProxy: boolean;
  readonly logger: Logger;
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

/** Bull Board's page loads its own scripts, sets inline styles and asks for a web font, which is refused: nothing is fetched from elsewhere. */
const CONTENT_SECURITY_POLICY = {
  useDefaults: false,
  directives: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'", "'unsafe-inline'"],
    imgSrc: ["'self'", 'data:'],
    fontSrc: ["'self'", 'data:'],
    connectSrc: ["'self'"],
    workerSrc: ["'self'", 'blob:'],
    manifestSrc: ["'self'"],
    baseUri: ["'self'"],
    formAction: ["'self'"],
    frameAncestors: ["'none'"],
  },
};

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
    contentSecurityPolicy: CONTENT_SECURITY_POLICY,
    strictTransportSecurity: secure,
    frameguard: { action: 'deny' },
    referrerPolicy: { policy: 'same-origin' },
  });
  await app.register(cookie);
  await app.register(formbody);
  const sessions = createSessions(redis, prefix);
  app.decorateRequest('session', undefined);
  app.addHook('onRequest', createGuard(sessions, secure));
  app.addHook('onSend', async (_request, reply) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, url, session } = request;
    if (method !== 'GET' && method !== 'HEAD') logger.info({ user: session?.username, method, url, status: reply.statusCode }, 'change');
  });
  registerLogin(app, { accounts: options.accounts, sessions, limit: createLoginLimit(redis, prefix), secure });
  registerPages(app, options.queues);
  await app.register(createBoard(options.queues, logger), { prefix: BOARD_PATH });
  await app.ready();
  return { app, routes };
}

function registerPages(app: FastifyInstance, queues: readonly Queue[]): void {
  const style = readAsset('dashboard.css');
  const script = readAsset('home.js');
  app.get('/health', { config: { open: true } }, () => ({ ok: true }));
  app.get('/assets/dashboard.css', { config: { open: true } }, (_request, reply) =>
    reply.type('text/css').header('cache-control', 'max-age=300').send(style),
  );
  app.get('/assets/home.js', (_request, reply) => reply.type('text/javascript').send(script));
  app.get('/', async (request, reply) => reply.type('text/html').send(homePage(request.session?.username ?? '', await summarise(queues))));
  app.get('/api/summary', async () => ({ success: true, data: { queues: await summarise(queues) } }));
}

function readAsset(name: string): string {
  return readFileSync(new URL(`assets/${name}`, import.meta.url), 'utf8');
}
