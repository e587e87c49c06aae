import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Metrics } from '../metrics.ts';
import { type Span, type SpanStart, spanned, traceNow } from '../spans.ts';
import { readTrace } from '../trace.ts';
import { BreakerOpen, type BreakerState, createBreaker } from './breaker.ts';
import type { BreakerWatcher } from './breaker-board.ts';
import { CALLER_DEFAULTS, type Call, type CallerTuning } from './call.ts';
import { createGate } from './gate.ts';
import { createExchange, NeighbourFault } from './http-exchange.ts';
import type { CallAnswer, Neighbour, RefusedCall, Unavailable } from './neighbour.ts';
import { createRetryBudget } from './retry-budget.ts';
import type { ServiceToken } from './service-token.ts';

export interface CallerDeps {
  readonly neighbour: Neighbour;
  readonly token: ServiceToken;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'neighbourCalls' | 'breakerState'>;
  readonly tuning?: Partial<CallerTuning>;
  /** Told of every change of the breaker. */
  readonly onBreaker?: BreakerWatcher | undefined;
}

export interface HttpCaller {
  /** Asks the neighbour. Never rejects for anything the neighbour or the network does. */
  call<T>(request: Call<T>): Promise<CallAnswer<T>>;
  state(): BreakerState;
  close(): void;
}

/** Below this a call cannot succeed and would only count against the neighbour, ms. */
const LEAST_TIME_MS = 10;

/**
 * Part of a neighbour's own time below which a failure says more about the hurry of the caller. Above it, it counts: a
 * neighbour that is slower than all who ask here can wait is of no use to them.
 */
const FAIR_SHARE = 0.1;

/**
 * The one way to a neighbour: gate → breaker → exchange (attempts with backoff), all within what the caller has left.
 */
export function createHttpCaller(deps: CallerDeps): HttpCaller {
  const { neighbour, logger, metrics } = deps;
  const tuning = { ...CALLER_DEFAULTS, ...deps.tuning };
  const gate = createGate(tuning.maxConcurrent);
  const onChange = (state: BreakerState) => deps.onBreaker?.(neighbour.name, state);
  const breaker = createBreaker({ ...tuning, name: neighbour.name, hangMs: neighbour.timeoutMs + 1_000, logger, metrics, onChange });
  const agents = agentsFor(tuning.maxConcurrent);
  const budget = createRetryBudget(tuning.retryBudget, tuning.retryBudgetPerCall);
  const exchange = createExchange({ neighbour, token: deps.token, tuning, agents, budget, mayRepeat: () => breaker.state() === 'closed' });

  async function ask<T>(request: Call<T>): Promise<CallAnswer<T>> {
    if (!request.path.every(isSegment)) return NO_SUCH_PATH;
    const deadline = performance.now() + Math.min(request.deadlineMs, neighbour.timeoutMs);
    if (timeLeft(deadline) < LEAST_TIME_MS) return notAsked('the caller has no time left');
    if (!(await enter(deadline))) return notAsked(`too many calls to ${neighbour.name}-service are under way`);
    try {
      if (timeLeft(deadline) < LEAST_TIME_MS) return notAsked('the caller has no time left');
      const work = () => exchange(request, deadline);
      const counts = timeLeft(deadline) >= FAIR_SHARE * neighbour.timeoutMs || breaker.state() !== 'closed';
      return await guarded(() => (counts ? breaker.run(work) : work()));
    } finally {
      gate.leave();
    }
  }

  function enter(deadline: number): Promise<boolean> {
    return gate.enter(timeLeft(deadline));
  }

  return {
    async call(request) {
      const started = performance.now();
      const answer = await spanned(
        () => spanOf(neighbour, request),
        async (span) => (span === undefined ? ask(request) : noted(span, await ask(withinSpan(request)))),
      );
      metrics.neighbourCalls.observe({ neighbour: neighbour.name, outcome: outcomeOf(answer) }, (performance.now() - started) / 1000);
      if (answer.kind === 'unavailable' && answer.asked) {
        logger.warn({ neighbour: neighbour.name, traceId: request.traceId, reason: answer.reason }, 'call to a neighbour failed');
      }
      return answer;
    },
    state: breaker.state,
    close() {
      breaker.close();
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}

const NO_SUCH_PATH: RefusedCall = { kind: 'refused', status: 404, reason: 'an id that is no path segment names nothing' };

/** Whether the text names exactly one level of a path, once encoded. */
function isSegment(part: string): boolean {
  return part !== '' && part !== '.' && part !== '..' && part.isWellFormed();
}

async function guarded<T>(work: () => Promise<CallAnswer<T>>): Promise<CallAnswer<T>> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BreakerOpen) return notAsked(error.message);
    return {
      kind: 'unavailable',
      reason: messageOf(error),
      asked: true,
      retryAfterMs: error instanceof NeighbourFault ? error.retryAfterMs : undefined,
    };
  }
}

/** The path names users, so it is not told. */
function spanOf({ name, baseUrl }: Neighbour, { method, traceId }: Call<unknown>): SpanStart {
  const { hostname, port, protocol } = new URL(baseUrl);
  return {
    name: `${method} ${name}-service`,
    kind: 'client',
    attributes: {
      'http.request.method': method,
      'server.address': hostname,
      'server.port': Number(port === '' ? (protocol === 'https:' ? 443 : 80) : port),
    },
    after: traceId,
  };
}

function withinSpan<T>(request: Call<T>): Call<T> {
  return { ...request, traceId: traceNow(readTrace(request.traceId ?? '')) };
}

function noted<T>(span: Span, answer: CallAnswer<T>): CallAnswer<T> {
  if (answer.kind === 'refused') span.note({ 'http.response.status_code': answer.status });
  if (answer.kind === 'unavailable') span.fail(outcomeOf(answer));
  return answer;
}

function agentsFor(maxSockets: number) {
  const options = { keepAlive: true, maxSockets, maxFreeSockets: maxSockets, scheduling: 'lifo' } as const;
  return { http: new HttpAgent(options), https: new HttpsAgent(options) };
}

function notAsked(reason: string): Unavailable {
  return { kind: 'unavailable', reason, asked: false };
}

function outcomeOf(answer: CallAnswer<unknown>): string {
  if (answer.kind !== 'unavailable') return answer.kind;
  return answer.asked ? 'failed' : 'not-asked';
}

function timeLeft(deadline: number): number {
  return deadline - performance.now();
}
