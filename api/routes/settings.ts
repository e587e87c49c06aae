import { z } from 'zod';
import { STRATEGY_TYPES } from '../../shared/placement/strategy.ts';
import { activateType, readActiveStrategy } from '../../shared/store/strategies.ts';
import type { ServerDeps } from '../deps.ts';
import { success, successOf } from '../envelope.ts';
import { type Api, errorAnswers, noBody, noQuery } from '../route-schema.ts';

/** What an admin sets and sees of the whole: the strategy, the settings, and ending what is due. */
export function settingsRoutes(api: Api, deps: ServerDeps): void {
  const { store, options } = deps;

  api.post(
    '/scheduler/allocations/strategy',
    {
      config: { access: 'administrative', budget: 'write' },
      schema: {
        tags: ['Allocations'],
        summary: 'Choose where allocations land',
        description:
          'Of several strategies of a type the one of the highest priority is activated. Effective on every process within two seconds.',
        querystring: noQuery,
        body: z.strictObject({ strategy: z.enum(STRATEGY_TYPES) }),
        response: { 200: successOf(z.object({ strategy: z.enum(STRATEGY_TYPES) })), ...errorAnswers(422) },
      },
    },
    async (request) => {
      const { type } = await activateType(store, request.body.strategy);
      return success(request, { strategy: type });
    },
  );

  api.post(
    '/scheduler/allocations/release-expired',
    {
      config: { access: 'administrative', budget: 'write' },
      schema: {
        tags: ['Allocations'],
        summary: 'End every allocation whose time is over, now',
        querystring: noQuery,
        body: noBody,
        response: { 200: successOf(z.object({ count: z.int() })), ...errorAnswers(422) },
      },
    },
    async (request) => {
      const count = await deps.releaseExpired();
      if (count > 0) await deps.available.evict();
      return success(request, { count });
    },
  );

  api.get(
    '/scheduler/config',
    {
      config: { access: 'administrative', budget: 'read' },
      schema: {
        tags: ['Allocations'],
        summary: 'The settings in force, without secrets',
        querystring: noQuery,
        response: {
          200: successOf(
            z.object({
              allocation_strategy: z.enum(STRATEGY_TYPES),
              settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
            }),
          ),
          ...errorAnswers(),
        },
      },
    },
    async (request) => {
      const { type } = await readActiveStrategy(store);
      return success(request, { allocation_strategy: type, settings: { ...options.publicSettings } });
    },
  );
}
