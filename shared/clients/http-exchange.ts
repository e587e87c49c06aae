import type { Agent as HttpAgent } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import got, { type Got, type OptionsOfTextResponseBody, RequestError, type Response, type RetryObject, TimeoutError } from 'got';
import type { z } from 'zod';
import { messageOf } from '../errors.ts';
import type { Call, CallerTuning } from './call.ts';
import type { CallAnswer, Neighbour } from './neighbour.ts';
import type { RetryBudget } from './retry-budget.ts';
import type { ServiceToken } from './service-token.ts';
import { traceHeaders } from './trace-headers.ts';

/** The neighbour, or the way to it, failed: what the breaker counts. */
export class NeighbourFault extends Error {
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: { cause?: unknown; retryAfterMs?: number | undefined } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'NeighbourFault';
    this.retryAfterMs = options.retryAfterMs;
  }
}

export interface ExchangeDeps {
  readonly neighbour: Neighbour;
  readonly token: ServiceToken;
  readonly tuning: CallerTuning;
  readonly agents: { readonly http: HttpAgent; readonly https: HttpsAgent };
  readonly budget: RetryBudget;
  /** Asked before each repeat: a neighbour known to be failing is not asked again. */
  readonly mayRepeat: () => boolean;
}

/** One call with its repeats, ending at `deadline` (of `performance.now()`) at the latest. Throws `NeighbourFault`. */
export type Exchange = <T>(request: Call<T>, deadline: number) => Promise<CallAnswer<T>>;

/** Statuses after which the same request may be sent again. */
const REPEATABLE_STATUSES = [408, 425, 429, 500, 502, 503, 504];
/** Client errors that say nothing about the request itself: our token, our rate, their time. */
const FAULTY_CLIENT_STATUSES = new Set([401, 403, 407, 408, 425, 429]);
/** Connection errors after which the same request may be sent again; a full timeout is not among them, no time is left then. */
const REPEATABLE_CODES = ['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ENOTFOUND', 'ENETUNREACH', 'EHOSTUNREACH', 'EAI_AGAIN', 'EADDRINUSE'];

/** Makes the exchange of one neighbour. */
export function createExchange(deps: ExchangeDeps): Exchange {
  const client = clientFor(deps);
  return async (request, deadline) => {
    const abort = new AbortController();
    // Covers attempts and pauses together, which got's own request timeout does not.
    const timer = setTimeout(
      () => abort.abort(new NeighbourFault(`no answer of ${deps.neighbour.name}-service in time`)),
      deadline - performance.now(),
    );
    try {
      deps.budget.earn();
      const token = await deps.token.current();
      const pending = client(urlOf(deps.neighbour, request.path), optionsFor(deps, request, deadline, { signal: abort.signal, token }));
      void pending.on('downloadProgress', ({ transferred }) => {
        if (transferred > deps.tuning.maxResponseBytes) abort.abort(new NeighbourFault('the answer is too large'));
      });
      return answerOf(await pending, request.schema, deps.neighbour);
    } catch (error) {
      throw toFault(error, abort.signal, deps.neighbour);
    } finally {
      clearTimeout(timer);
    }
  };
}

function clientFor({ agents, mayRepeat }: ExchangeDeps): Got {
  return got.extend({
    agent: agents,
    // Small answers from the next rack: plain bodies make the size limit mean what it says.
    decompress: false,
    followRedirect: false,
    throwHttpErrors: false,
    responseType: 'text',
    headers: { accept: 'application/json', 'user-agent': 'cloudphone-scheduler' },
    hooks: {
      beforeRetry: [
        () => {
          if (!mayRepeat()) throw new NeighbourFault('the neighbour began to fail for everybody; not asked again');
        },
      ],
    },
  });
}

function urlOf(neighbour: Neighbour, path: readonly string[]): string {
  return `${neighbour.baseUrl.replace(/\/+$/, '')}/${path.map(encodeURIComponent).join('/')}`;
}

function optionsFor<T>(
  deps: ExchangeDeps,
  request: Call<T>,
  deadline: number,
  { signal, token }: { signal: AbortSignal; token: string },
): OptionsOfTextResponseBody {
  return {
    method: request.method,
    headers: {
      'x-service-token': token,
      ...traceHeaders(request.traceId),
      ...(request.idempotencyKey === undefined ? {} : { 'idempotency-key': request.idempotencyKey }),
    },
    ...(request.body === undefined ? {} : { json: request.body }),
    signal,
    timeout: { request: Math.max(1, deadline - performance.now()) },
    retry: {
      limit: request.retries ?? deps.neighbour.retries,
      methods: request.idempotencyKey === undefined ? ['GET'] : ['GET', 'POST'],
      statusCodes: REPEATABLE_STATUSES,
      errorCodes: REPEATABLE_CODES,
      maxRetryAfter: deps.tuning.retryAfterCapMs,
      calculateDelay: (attempt) => pauseBefore(deps, attempt, deadline),
    },
  };
}

/** Pause before the next attempt, ms; 0 ends the call with what it has. */
function pauseBefore(deps: ExchangeDeps, { attemptCount, retryAfter }: RetryObject, deadline: number): number {
  const { retryBaseMs, retryMaxMs } = deps.tuning;
  const backoff = Math.min(retryBaseMs * 2 ** (attemptCount - 1), retryMaxMs) * (0.5 + Math.random() / 2);
  const pause = Math.max(1, retryAfter ?? backoff);
  if (performance.now() + pause >= deadline || !deps.mayRepeat() || !deps.budget.spend()) return 0;
  return pause;
}

function answerOf<T>(response: Response<string>, schema: z.ZodType<T>, { name }: Neighbour): CallAnswer<T> {
  const { statusCode } = response;
  if (statusCode >= 200 && statusCode < 300) return { kind: 'ok', value: readBody(response.body, schema, name) };
  if (statusCode >= 400 && statusCode < 500 && !FAULTY_CLIENT_STATUSES.has(statusCode)) {
    return { kind: 'refused', status: statusCode, reason: `${name}-service answered ${statusCode}` };
  }
  throw new NeighbourFault(`${name}-service answered ${statusCode}`, { retryAfterMs: retryAfterOf(response.headers['retry-after']) });
}

function readBody<T>(body: string, schema: z.ZodType<T>, name: string): T {
  let json: unknown;
  try {
    // A write may be answered with an empty body; whether that will do is for the schema to say.
    json = body === '' ? undefined : JSON.parse(body);
  } catch (error) {
    throw new NeighbourFault(`the answer of ${name}-service is no JSON`, { cause: error });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new NeighbourFault(`the answer of ${name}-service is malformed: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`, {
    cause: parsed.error,
  });
}

function retryAfterOf(header: string | string[] | undefined): number | undefined {
  if (typeof header !== 'string' || header.trim() === '') return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

function toFault(error: unknown, signal: AbortSignal, { name }: Neighbour): NeighbourFault {
  if (error instanceof NeighbourFault) return error;
  if (error instanceof RequestError && error.cause instanceof NeighbourFault) return error.cause;
  if (signal.reason instanceof NeighbourFault) return new NeighbourFault(signal.reason.message, { cause: error });
  if (error instanceof TimeoutError) return new NeighbourFault(`no answer of ${name}-service in time`, { cause: error });
  if (error instanceof RequestError) return new NeighbourFault(`${name}-service cannot be reached (${error.code})`, { cause: error });
  return new NeighbourFault(`the call to ${name}-service failed: ${messageOf(error)}`, { cause: error });
}
