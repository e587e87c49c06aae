import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '../shared/logger.ts';
import { type AuditWords, beginAudit, endAudit } from '../shared/store/audit.ts';
import type { Store } from '../shared/store/store.ts';
import { answerError } from './answer-error.ts';
import { isRead, routeOf } from './guard.ts';
import { redact } from './redact.ts';
import type { Session } from './sessions.ts';

const SESSION_PATHS = ['/login', '/logout'];

/** Notes that somebody has logged in or out. */
export type NoteSession = (request: FastifyRequest, who: Pick<Session, 'username' | 'role'>, action: 'login' | 'logout') => Promise<void>;

/**
 * Notes every change somebody is let to, on the page as in Bull Board: before it is made, and how it was answered after it. What cannot
 * be noted is not done.
 *
 * @returns how the login notes who has come and gone. That is done noted or not, or nobody could look while Postgres is away. Who fails
 *          to log in is not noted: people type passwords into the field of the name
 */
export function keepAudit(app: FastifyInstance, store: Store, logger: Logger): NoteSession {
  const audited = new WeakSet<FastifyRequest>();

  async function begin(request: FastifyRequest, { username, role }: Pick<Session, 'username' | 'role'>, words: Words): Promise<void> {
    await beginAudit(store, { actor: username, role, address: request.ip, requestId: request.id, ...words });
    audited.add(request);
  }

  app.addHook('preHandler', async (request, reply): Promise<FastifyReply | undefined> => {
    const { session } = request;
    if (isRead(request) || session === undefined || SESSION_PATHS.includes(routeOf(request))) return undefined;
    try {
      await begin(request, session, wordsOf(request));
      return undefined;
    } catch (error) {
      return answerError(error, request, reply);
    }
  });
  app.addHook('onResponse', async (request, reply) => {
    if (!audited.has(request)) return;
    try {
      await endAudit(store, request.id, reply.statusCode);
    } catch (error) {
      logger.error({ err: error, requestId: request.id, status: reply.statusCode }, 'how a change was answered could not be noted');
    }
  });
  return async (request, who, action) => {
    try {
      await begin(request, who, { action, target: '', details: {} });
    } catch (error) {
      logger.error({ err: error, requestId: request.id, user: who.username, action }, 'who logged in or out could not be noted');
    }
  };
}

type Words = Pick<AuditWords, 'action' | 'target' | 'details'>;

/** An action of the page by its name and what it is about, anything else by its route and path. */
function wordsOf(request: FastifyRequest): Words {
  const params = Object.values(request.params ?? {}).map(String);
  const details = redact(request.body ?? {});
  const isAction = routeOf(request) === ACTION_ROUTE;
  const action = isAction ? params.join(' ') : `${request.method} ${routeOf(request)}`;
  const body = typeof request.body === 'object' && request.body !== null ? Object.values(request.body) : [];
  const target = isAction ? body.find((value) => typeof value === 'string') : params.join(' ');
  return { action, target: String(target ?? ''), details };
}

/** The route of the page's own actions. */
export const ACTION_ROUTE = '/api/actions/:action';
