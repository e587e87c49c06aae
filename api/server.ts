import { type FastifyBaseLogger, type FastifyInstance, fastify, LogController } from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { createAuthenticator } from './auth.ts';
import { assertStorable, parseBodies } from './body-parsers.ts';
import type { ServerDeps } from './deps.ts';
import { describeApi, serveDocs } from './docs.ts';
import { answerError } from './error-handler.ts';
import { addHeaders, guardRoutes, observeAnswers } from './hooks.ts';
import { answerUnknownRoutes } from './not-found.ts';
import { createReadiness } from './probes.ts';
import { createCounters } from './rate-limit.ts';
import { requestIdOf } from './request-context.ts';
import type { Api } from './route-schema.ts';
import { allocateRoutes } from './routes/allocate.ts';
import { allocationRoutes } from './routes/allocations.ts';
import { availableRoutes } from './routes/available.ts';
import { batchAllocateRoutes } from './routes/batch-allocate.ts';
import { batchQueryRoutes } from './routes/batch-query.ts';
import { batchReleaseRoutes } from './routes/batch-release.ts';
import { deadLetterRoutes } from './routes/dead-letters.ts';
import { deviceRoutes } from './routes/devices.ts';
import { extendRoutes } from './routes/extend.ts';
import { heartbeatRoutes } from './routes/heartbeat.ts';
import { importRoutes } from './routes/import.ts';
import { jobRoutes } from './routes/jobs.ts';
import { operationRoutes } from './routes/operations.ts';
import { probeRoutes } from './routes/probes.ts';
import { queueRoutes } from './routes/queue.ts';
import { queueListRoutes } from './routes/queue-list.ts';
import { releaseRoutes } from './routes/release.ts';
import { requestRoutes } from './routes/requests.ts';
import { reservationListRoutes } from './routes/reservation-list.ts';
import { reservationRoutes } from './routes/reservations.ts';
import { settingsRoutes } from './routes/settings.ts';
import { simulateRoutes } from './routes/simulate.ts';
import { strategyRoutes } from './routes/strategies.ts';
import { userRoutes } from './routes/users.ts';
import { securityHeaders } from './security-headers.ts';
import { traceRequests } from './trace-requests.ts';

const BODY_LIMIT_BYTES = 1024 * 1024;
const LONGEST_PARAM = 500;

/**
 * Builds the HTTP server from its parts; the caller listens and closes.
 *
 * A request passes: request id → who calls → how often → body → schemas → Idempotency-Key → handler.
 */
export async function buildServer(deps: ServerDeps): Promise<FastifyInstance> {
  const { options, logger, store, metrics } = deps;
  const app = fastify({
    loggerInstance: logger as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: options.trustProxy,
    bodyLimit: BODY_LIMIT_BYTES,
    routerOptions: { maxParamLength: LONGEST_PARAM },
    genReqId: ({ headers }) => requestIdOf(headers),
    frameworkErrors: answerError,
    // What still arrives while it closes is answered, and its connection ends: Fastify's own 503 would not say when to come again.
    return503OnClosing: false,
    // No logger of its own for every request: making one costs more than a cached read, and lines carry the request id anyway.
    childLoggerFactory: (own) => own,
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler(answerError);
  parseBodies(app);
  traceRequests(app);
  answerUnknownRoutes(app);
  addHeaders(app, await securityHeaders());
  await describeApi(app);
  const counters = await createCounters(app, { redis: deps.redis, prefix: options.prefix, logger, limits: options.rateLimits });
  app.addHook('preValidation', (request, _reply, done) => {
    assertStorable(request.query, request.params);
    done();
  });
  observeAnswers(app, metrics, logger);
  if (!options.production) await app.register(serveDocs);
  await app.register(async (routes) => {
    guardRoutes(routes, { authenticate: createAuthenticator(options.tokens), counters, store });
    registerRoutes(routes.withTypeProvider<ZodTypeProvider>(), deps, counters);
  });
  return app;
}

function registerRoutes(api: Api, deps: ServerDeps, counters: Awaited<ReturnType<typeof createCounters>>): void {
  probeRoutes(api, createReadiness(deps.probes), deps.metrics);
  allocateRoutes(api, deps);
  releaseRoutes(api, deps);
  extendRoutes(api, deps);
  requestRoutes(api, deps);
  queueListRoutes(api, deps);
  queueRoutes(api, deps);
  availableRoutes(api, deps, counters.read);
  allocationRoutes(api, deps);
  heartbeatRoutes(api, deps);
  batchAllocateRoutes(api, deps);
  batchReleaseRoutes(api, deps);
  batchQueryRoutes(api, deps);
  reservationRoutes(api, deps);
  reservationListRoutes(api, deps);
  settingsRoutes(api, deps);
  strategyRoutes(api, deps);
  simulateRoutes(api, deps);
  deviceRoutes(api, deps);
  importRoutes(api, deps);
  operationRoutes(api, deps);
  deadLetterRoutes(api, deps);
  jobRoutes(api, deps);
  userRoutes(api, deps);
}
