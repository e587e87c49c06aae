import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { SchedulerError } from '../shared/errors.ts';
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
  }
}

/** Refuses to register a route that does not say who may use it. */
export function demandAccess(app: FastifyInstance): void {
  app.addHook('onRoute', ({ config, method, url }) => {
    if (config?.access === undefined) throw new Error(`${String(method)} ${url} does not say who may use it`);
  });
}

/** Request id in every answer; who calls; what they may; how often. In this order, before the body is read. */
export function guardRoutes(
  app: FastifyInstance,
  authenticate: (credentials: Credentials) => Caller | Promise<Caller>,
  counters: Readonly<Record<Budget, CountCall>>,
): void {
  app.decorateRequest('caller');
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    const { access, budget, countsItself } = request.routeOptions.config;
    if (access === undefined || access === 'open') return;
    const known = authenticate(credentialsOf(request));
    request.caller = known instanceof Promise ? await known : known;
    if (access === 'administrative' && !isAdministrative(request.caller)) {
      throw new SchedulerError('FORBIDDEN', { messages: ['This is for admins and services.'] });
    }
    if (budget !== undefined && countsItself !== true) await counters[budget](request, reply);
  });
}

function credentialsOf(request: FastifyRequest): Credentials {
  const service = request.headers['x-service-token'];
  return { authorization: request.headers.authorization, serviceToken: typeof service === 'string' ? service : undefined };
}

/** Lets POST and PUT be repeated under an `Idempotency-Key`. */
export function keyRoutes(app: FastifyInstance, store: Store): void {
  app.decorateRequest('heldKey');
  app.addHook('preHandler', async (request, reply) => {
    if (request.routeOptions.config.access === 'open') return undefined;
    return beginKeyed(store, request, reply);
  });
  app.addHook('onSend', async (request, reply: FastifyReply, payload: unknown) => {
    if (request.heldKey !== undefined) await endKeyed(store, request, reply, typeof payload === 'string' ? payload : '');
    return payload;
  });
}

/** One measurement and one line of log an answer; reads that went well are only logged at `debug`. */
export function observeAnswers(app: FastifyInstance, metrics: Metrics): void {
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unknown';
    metrics.httpDuration.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1_000);
    const quiet = reply.statusCode < 400 && (request.method === 'GET' || request.method === 'HEAD');
    const line = {
      method: request.method,
      route,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      caller: request.caller?.key,
    };
    request.log[quiet ? 'debug' : 'info'](line, 'answered');
    done();
  });
}
