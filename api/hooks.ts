import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler, onSendAsyncHookHandler } from 'fastify';
import type { ZodType } from 'zod';
import { SchedulerError } from '../shared/errors.ts';
import type { Logger } from '../shared/logger.ts';
import type { Metrics } from '../shared/metrics.ts';
import type { Store } from '../shared/store/store.ts';
import type { Credentials } from './auth.ts';
import { type Caller, isAdministrative } from './caller.ts';
import { beginKeyed, endKeyed, type HeldKey } from './idempotency.ts';
import type { Budget, CountCall } from './rate-limit.ts';

/**
 * Who may use a route: everybody without a token; every caller; admins and services.
 * A route that says nothing is not registered, so none can be open by mistake.
 */
export type Access = 'open' | 'caller' | 'administrative';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any handler of a route that is not open. */
    caller: Caller;
    heldKey: HeldKey | undefined;
  }
  interface FastifyContextConfig {
    access?: Access;
    /** What a call counts as; left out: not counted. */
    budget?: Budget;
    /** The handler counts the call itself, beside its own first round trip. */
    countsItself?: boolean;
    /** What a line of the body is, where the body is lines; for the OpenAPI page. */
    line?: ZodType;
  }
}

/** What is done before a handler, by what the route says of itself. */
export interface Guards {
  readonly authenticate: (credentials: Credentials) => Caller | Promise<Caller>;
  readonly counters: Readonly<Record<Budget, CountCall>>;
  readonly store: Store;
}

/**
 * Puts before every route of this scope what it asks for: who calls, what they may, how often; and for POST and PUT the
 * `Idempotency-Key`. Decided once a route, so that a request only passes what concerns it.
 *
 * @throws Error for a route that does not say who may use it
 */
export function guardRoutes(app: FastifyInstance, guards: Guards): void {
  app.decorateRequest('caller');
  app.decorateRequest('heldKey');
  app.addHook('onRoute', (route) => {
    const { access, budget, countsItself } = route.config ?? {};
    if (access === undefined) throw new Error(`${String(route.method)} ${route.url} does not say who may use it`);
    if (access === 'open') return;
    const count = budget === undefined || countsItself === true ? undefined : guards.counters[budget];
    route.onRequest = [admit(guards.authenticate, access, count)];
    if (route.method !== 'POST' && route.method !== 'PUT') return;
    route.preHandler = [async (request, reply) => beginKeyed(guards.store, request, reply)];
    route.onSend = [keepOutcome(guards.store)];
  });
}

/** Before the body is read: who calls, whether they may, and how often. A known token costs no turn of the event loop. */
function admit(authenticate: Guards['authenticate'], access: Access, count: CountCall | undefined): onRequestHookHandler {
  const enter = async (request: FastifyRequest, reply: FastifyReply, known: Caller | Promise<Caller>) => {
    request.caller = await known;
    if (access === 'administrative' && !isAdministrative(request.caller)) {
      throw new SchedulerError('FORBIDDEN', { messages: ['This is for admins and services.'] });
    }
    if (count !== undefined) await count(request, reply);
  };
  return (request, reply, done) => {
    const known = authenticate(credentialsOf(request));
    if (count === undefined && access === 'caller' && !(known instanceof Promise)) {
      request.caller = known;
      done();
      return;
    }
    enter(request, reply, known).then(() => done(), done);
  };
}

function keepOutcome(store: Store): onSendAsyncHookHandler {
  return async (request, reply, payload) => {
    if (request.heldKey !== undefined) await endKeyed(store, request, reply, typeof payload === 'string' ? payload : '');
    return payload;
  };
}

function credentialsOf({ headers }: FastifyRequest): Credentials {
  const service = headers['x-service-token'];
  return { authorization: headers.authorization, serviceToken: typeof service === 'string' ? service : undefined };
}

/** Every answer carries the id of its request, and the headers browsers are told to be careful by. */
export function addHeaders(app: FastifyInstance, headers: Readonly<Record<string, string>>): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(headers).header('x-request-id', request.id);
    done();
  });
}

/** One measurement and one line of log an answer; reads that went well are only logged at `debug`. */
export function observeAnswers(app: FastifyInstance, metrics: Metrics, logger: Logger): void {
  app.addHook('onResponse', (request, reply, done) => {
    const { method } = request;
    const { statusCode: status, elapsedTime } = reply;
    const route = request.routeOptions.url ?? 'unknown';
    metrics.httpDuration.observe({ method, route, status }, elapsedTime / 1_000);
    const level = status < 400 && (method === 'GET' || method === 'HEAD') ? 'debug' : 'info';
    if (logger.isLevelEnabled(level)) {
      logger[level]({ requestId: request.id, method, route, status, ms: Math.round(elapsedTime), caller: request.caller?.key }, 'answered');
    }
    done();
  });
}
