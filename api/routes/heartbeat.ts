import { z } from 'zod';
import { SchedulerError } from '../../shared/errors.ts';
import { hear } from '../../shared/store/heartbeat.ts';
import { reachOf } from '../caller.ts';
import type { ServerDeps } from '../deps.ts';
import { type Api, errorAnswers, idParams, noQuery } from '../route-schema.ts';

/** `POST /scheduler/allocations/:id/heartbeat`: a sign of life of the holder. Counts as a read: it is about as cheap, and frequent. */
export function heartbeatRoutes(api: Api, { store }: ServerDeps): void {
  api.post(
    '/scheduler/allocations/:id/heartbeat',
    {
      config: { access: 'caller', budget: 'read' },
      schema: {
        tags: ['Allocations'],
        summary: 'A sign of life of the holder',
        description:
          'An allocation that was asked for with `heartbeatSeconds` is reclaimed when its holder is silent for longer; silence while we could not hear does not count.',
        params: idParams,
        querystring: noQuery,
        body: z.strictObject({ fence: z.int().min(1).max(Number.MAX_SAFE_INTEGER) }),
        response: { 204: z.null().describe('Heard'), ...errorAnswers(404, 409, 410, 422) },
      },
    },
    async (request, reply) => {
      const { fence } = request.body;
      const heard = await hear(store, request.params.id, fence, reachOf(request.caller));
      switch (heard.kind) {
        case 'heard':
          return reply.code(204).send(null);
        case 'ended':
          throw new SchedulerError('ALLOCATION_ENDED');
        case 'stale':
          throw new SchedulerError('STALE_FENCE', { details: { fence, current: heard.current } });
        case 'unknown':
          throw new SchedulerError('ALLOCATION_NOT_FOUND');
      }
    },
  );
}
