import type { FastifyReply, FastifyRequest } from 'fastify';
import { LONGEST_S } from './sessions.ts';

// With the prefix a browser takes the cookie only from this very host over TLS, so no neighbouring subdomain can plant one.
const nameOf = (secure: boolean) => (secure ? '__Host-scheduler_session' : 'scheduler_session');

const attributes = (secure: boolean) => ({ path: '/', httpOnly: true, sameSite: 'strict', secure }) as const;

/** The session id a browser sent, if any. */
export function readSessionCookie(request: FastifyRequest, secure: boolean): string | undefined {
  return request.cookies[nameOf(secure)];
}

/** Gives the session id to the browser: unreadable for scripts, never sent from another site. */
export function setSessionCookie(reply: FastifyReply, id: string, secure: boolean): void {
  reply.setCookie(nameOf(secure), id, { ...attributes(secure), maxAge: LONGEST_S });
}

/** Takes it back. */
export function clearSessionCookie(reply: FastifyReply, secure: boolean): void {
  reply.clearCookie(nameOf(secure), attributes(secure));
}
