import { SchedulerError } from '../../shared/errors.ts';
import { announceEnded } from '../../shared/run/announce-ended.ts';
import { readEnded } from '../../shared/store/outcomes.ts';
import { cancelRequest, type RequestState, readRequest } from '../../shared/store/requests.ts';
import { readWaitFacts } from '../../shared/store/wait-facts.ts';
import { type Caller, reachOf } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { requestAnswer, viewRequest } from '../request-view.ts';
import { type Api, errorAnswers, idParams, noQuery } from '../route-schema.ts';

/** `GET` and `DELETE /scheduler/requests/:id`: how a request stands, and withdrawing it. */
export function requestRoutes(api: Api, deps: ServerDeps): void {
  api.get(
    '/scheduler/requests/:id',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Allocations'],
        summary: 'How a request stands',
        params: idParams,
        querystring: noQuery,
        response: { 200: successOf(requestAnswer), ...errorAnswers(404) },
      },
    },
    async (request) => {
      const state = await find(deps, request.params.id, request.caller);
      const waiting = state.status === 'waiting' ? await readWaitFacts(deps.store, state.requestId) : undefined;
      return success(request, viewRequest(state, waiting));
    },
  );

  api.delete(
    '/scheduler/requests/:id',
    {
      config: { access: 'caller', budget: 'write' },
      schema: {
        tags: ['Allocations'],
        summary: 'Cancel a request that is not decided yet',
        params: idParams,
        querystring: noQuery,
        response: { 200: successOf(requestAnswer), ...errorAnswers(404, 409) },
      },
    },
    async (request) => {
      const cancelled = await cancelRequest(deps.store, request.params.id, reachOf(request.caller));
      if (cancelled) await announceEnded({ ...deps, prefix: deps.options.prefix }, await readEnded(deps.store, [request.params.id]));
      const state = await find(deps, request.params.id, request.caller);
      if (!cancelled) throw new SchedulerError('REQUEST_DECIDED', { details: { status: state.status } });
      return success(request, viewRequest(state, undefined));
    },
  );
}

async function find({ store }: ServerDeps, requestId: string, caller: Caller): Promise<RequestState> {
  const state = await readRequest(store, requestId, reachOf(caller));
  if (state === undefined) throw new SchedulerError('REQUEST_NOT_FOUND');
  return state;
}
