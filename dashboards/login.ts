import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ERRORS, SchedulerError } from '../shared/errors.ts';
import { type Account, findAccount } from './accounts.ts';
import type { NoteSession } from './audit-trail.ts';
import type { LoginLimit } from './login-limit.ts';
import { loginPage } from './pages/login-page.ts';
import { clearSessionCookie, readSessionCookie, setSessionCookie } from './session-cookie.ts';
import type { Sessions } from './sessions.ts';

const credentials = z.strictObject({
  username: z.string().max(200),
  password: z.string().max(1_000),
  next: z.string().max(2_000).optional(),
});
const query = z.object({ next: z.string().max(2_000).optional().catch(undefined) });

const SMALL_BODY = 8_192;

interface LoginOptions {
  readonly accounts: readonly Account[];
  readonly sessions: Sessions;
  readonly limit: LoginLimit;
  readonly note: NoteSession;
  readonly secure: boolean;
}

/** `GET /login`, `POST /login` (form or JSON) and `POST /logout`. */
export function registerLogin(app: FastifyInstance, options: LoginOptions): void {
  app.get('/login', { config: { open: true } }, async (request, reply) => {
    const { next } = query.parse(request.query);
    if (request.session !== undefined) return reply.redirect(localPath(next), 302);
    return reply.type('text/html').send(loginPage({ next: localPath(next) }));
  });
  app.post('/login', { config: { open: true }, bodyLimit: SMALL_BODY }, (request, reply) => logIn(request, reply, options));
  app.post('/logout', { bodyLimit: SMALL_BODY }, async (request, reply) => {
    const id = readSessionCookie(request, options.secure);
    if (id !== undefined) await options.sessions.end(id);
    if (request.session !== undefined) await options.note(request, request.session, 'logout');
    clearSessionCookie(reply, options.secure);
    return isForm(request) ? reply.redirect('/login', 303) : reply.send({ success: true, data: {} });
  });
}

async function logIn(request: FastifyRequest, reply: FastifyReply, options: LoginOptions): Promise<FastifyReply> {
  const { accounts, sessions, limit, note, secure } = options;
  const typed = credentials.safeParse(request.body);
  if (!typed.success)
    return sendRefusal(
      request,
      reply,
      new SchedulerError('VALIDATION_FAILED', { messages: ['username and password are needed, as texts.'] }),
    );
  const { username, password, next } = typed.data;
  const wait = await limit.take(request.ip);
  if (wait > 0) {
    request.log.warn({ address: request.ip }, 'too many failed logins');
    return sendRefusal(
      request,
      reply,
      new SchedulerError('RATE_LIMITED', { messages: [`Too many attempts. Try again in ${wait} s.`], retryAfter: wait }),
      next,
    );
  }
  const account = findAccount(accounts, username, password);
  if (account === undefined) {
    request.log.warn({ address: request.ip }, 'failed login');
    return sendRefusal(request, reply, new SchedulerError('UNAUTHENTICATED', { messages: ['Name or password is wrong.'] }), next);
  }
  await limit.giveBack(request.ip);
  const former = readSessionCookie(request, secure);
  if (former !== undefined) await sessions.end(former);
  setSessionCookie(reply, await sessions.begin(account), secure);
  request.log.info({ user: account.username }, 'login');
  await note(request, account, 'login');
  if (isForm(request)) return reply.redirect(localPath(next), 303);
  return reply.send({ success: true, data: { username: account.username, role: account.role } });
}

/** A form gets the page again with the reason; everything else gets the error as JSON. */
function sendRefusal(request: FastifyRequest, reply: FastifyReply, refusal: SchedulerError, next?: string): FastifyReply {
  if (!isForm(request)) throw refusal;
  if (refusal.retryAfter !== undefined) reply.header('retry-after', String(refusal.retryAfter));
  return reply
    .code(ERRORS[refusal.code].status)
    .type('text/html')
    .send(loginPage({ next: localPath(next), problem: refusal.message }));
}

const isForm = (request: FastifyRequest) => request.headers['content-type']?.startsWith('application/x-www-form-urlencoded') === true;

/** Where to go after the login: only ever a path of ours, or a link could lead a fresh login to a foreign page. */
export function localPath(next: string | undefined): string {
  const ours = 'http://dashboard.invalid';
  if (next === undefined || !next.startsWith('/') || !URL.canParse(next, ours)) return '/';
  const { origin, pathname, search } = new URL(next, ours);
  return origin === ours && pathname !== '/login' && !pathname.startsWith('//') ? `${pathname}${search}` : '/';
}
