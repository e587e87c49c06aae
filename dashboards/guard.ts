import { timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { SchedulerError } from '../shared/errors.ts';
import { answerError } from './answer-error.ts';
import { BOARD_PATH } from './board.ts';
import { readSessionCookie } from './session-cookie.ts';
import type { Session, Sessions } from './sessions.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers without a login. Every route that does not say so needs one. */
    open?: boolean;
  }
  interface FastifyRequest {
    session: Session | undefined;
  }
}

const READS = ['GET', 'HEAD', 'OPTIONS'];
const ACTION_PATH = '/api/';
/** What a change by our own page says besides the cookie, which a browser sends by itself. */
export const CSRF_HEADER = 'x-csrf-token';
/** Says that the page asks by itself, not somebody in front of it: that keeps no session from its idle end. */
export const UNASKED_HEADER = 'x-unasked';
const API_PATHS = ['/api/', `${BOARD_PATH}/api/`];

/** Whether a call only looks. */
export const isRead = ({ method }: FastifyRequest): boolean => READS.includes(method);

/** The route a call has come to, however its address was spelt (`/%61pi/` is `/api/`); of an unknown one, the address. */
export const routeOf = (request: FastifyRequest): string => request.routeOptions.url ?? request.url;

/**
 * Stands in front of every route, known or not. Whatever does not call itself open needs a session: a page without one
 * leads to the login, anything else is 401. A change must come from our own pages and from somebody who may make it.
 *
 * @param secure  whether the cookie is only given over TLS
 */
export function createGuard(sessions: Sessions, secure: boolean) {
  async function guard(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    const reads = isRead(request);
    if (!reads && !isSameOrigin(request, secure))
      throw new SchedulerError('FORBIDDEN', { messages: ['A change must be sent from the dashboard itself.'] });
    const cookie = readSessionCookie(request, secure);
    const look = request.headers[UNASKED_HEADER] === undefined ? sessions.read : sessions.peek;
    request.session = cookie === undefined ? undefined : await look(cookie);
    if (request.routeOptions.config?.open === true) return undefined;
    if (request.session === undefined) return refuse(request, reply, reads);
    if (!reads && request.session.role !== 'operator' && routeOf(request) !== '/logout')
      throw new SchedulerError('FORBIDDEN', { messages: ['A viewer may not change anything.'] });
    if (!reads && routeOf(request).startsWith(ACTION_PATH) && !knowsToken(request, request.session))
      throw new SchedulerError('FORBIDDEN', { messages: [`A change needs the token of the session in ${CSRF_HEADER}.`] });
    return undefined;
  }
  // Answered here, not thrown: the board's own error handler knows neither 401 nor our error body.
  return (request: FastifyRequest, reply: FastifyReply) =>
    guard(request, reply).catch((error: unknown) => answerError(error, request, reply));
}

/** A third lock in front of our own actions: only a page of this origin can have read the token. */
function knowsToken(request: FastifyRequest, { csrf }: Session): boolean {
  const said = Buffer.from(String(request.headers[CSRF_HEADER] ?? ''));
  const known = Buffer.from(csrf);
  return said.length === known.length && timingSafeEqual(said, known);
}

function refuse(request: FastifyRequest, reply: FastifyReply, reads: boolean): FastifyReply {
  const isPage = reads && !API_PATHS.some((path) => routeOf(request).startsWith(path));
  if (!isPage) throw new SchedulerError('UNAUTHENTICATED', { messages: ['Log in first.'] });
  const query = request.url === '/' ? '' : `?next=${encodeURIComponent(request.url)}`;
  return reply.redirect(`/login${query}`, 302);
}

/** Hosts a browser takes for safe without TLS, as it does with the cookie. */
const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;
const OUR_SITES = [undefined, 'same-origin', 'none'];

/**
 * Every browser names the origin with a change; what names none is no browser and cannot be made to send somebody's
 * cookie. The cookie itself is SameSite=Strict, so this is the second lock.
 */
function isSameOrigin(request: FastifyRequest, secure: boolean): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers;
  if (!OUR_SITES.includes(site as string | undefined)) return false;
  if (origin === undefined) return true;
  if (!URL.canParse(origin)) return false;
  const { protocol, host, hostname } = new URL(origin);
  if (secure && protocol !== 'https:' && !LOOPBACK.test(hostname)) return false;
  const ours = `${protocol}//${request.host}`;
  return URL.canParse(ours) && new URL(ours).host === host;
}
